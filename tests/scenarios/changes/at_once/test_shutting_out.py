"""An address that guesses passwords is banned; others are not."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from tests.harness.playbook import ask
from tests.scenarios.changes.at_once.switches import LOGIN as GOOD

SECONDS = 60


def own_answer(host: Any) -> str:
    """The server's answer to a request from its own address, which differs from ours."""
    address = host.check_output("hostname --ip-address")
    name = host.ansible.get_variables()["mlflow_public_url"].removeprefix("https://")
    script = (
        "import http.client, ssl, sys; c = http.client.HTTPSConnection(sys.argv[1], timeout=10,"
        " context=ssl._create_unverified_context());"
        " c.request('GET', '/health', headers={'Host': sys.argv[2]}); print(c.getresponse().status)"
    )
    return str(host.check_output("python3 -c %s %s %s", script, address, name))


def test_a_guesser_is_banned_and_nobody_else(host: Any) -> None:
    """After so many failures, by nftables, for a while."""
    assert ask(host, *GOOD).ok
    try:
        # A request in progress when the ban begins times out.
        with pytest.raises((requests.ConnectionError, requests.Timeout)):
            for number in range(SECONDS):
                ask(host, "ada", f"wrong {number}")
                time.sleep(1)
        assert host.check_output("fail2ban-client get mlflow banip").strip()
        assert own_answer(host) == "200"
    finally:
        host.run("fail2ban-client unban --all")
    assert ask(host, *GOOD).ok
