"""`mlflowctl status` names each part that is down, and the operator is notified once when it fails and once when it is over."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.ready import wait_until_ready

TAG = "outage-notifications"


@pytest.fixture(scope="module")
def tag(host: Any, server: Any) -> Iterator[str]:
    """The notifier is a program that writes to the journal, with a unique identifier."""
    settings, tag = f"{server['mlflow_config_path']}/mlflowctl.toml", f"{TAG}-{uuid.uuid4().hex[:8]}"
    host.check_output(f"systemctl stop {server.unit}-watch.timer; cp -p {settings} /run/test-mlflowctl.toml")
    command = json.dumps(["/usr/bin/logger", "--tag", tag])
    # The only channel: those of the host with everything changed have no receiver.
    edit = f's|^command = .*|command = {command}|; s|^mail = .*|mail = ""|; s|^url = .*|url = ""|'
    host.check_output(f"sed -i '{edit}' {settings}")
    host.check_output(f"mlflowctl watch; rm -f /run/{server.unit}-notified.json")
    try:
        yield tag
    finally:
        host.check_output(f"cp -p /run/test-mlflowctl.toml {settings}; systemctl start {server.unit}-watch.timer")


def stopped(host: Any, server: Any, what: str) -> tuple[str, str, str, str]:
    """The commands that stop and start a part, its subject, and a word of its status."""
    unit, volume = server.unit, server["mlflow_volume_path"]
    cluster = host.check_output("ls /etc/postgresql")
    return {
        "postgresql": (
            f"systemctl stop postgresql@{cluster}-main", f"systemctl start postgresql@{cluster}-main",
            "database", "PostgreSQL",
        ),
        "mlflow": (
            f"systemctl stop {unit}.target {unit}.socket {unit}-asgi.socket {unit}.service {unit}-asgi.service",
            f"systemctl start {unit}.socket {unit}-asgi.socket {unit}.target {unit}.service", f"{unit}.service",
            "is not running",
        ),
        "nginx": ("systemctl stop nginx", "systemctl start nginx", "nginx.service", "nginx.service is not running"),
        "login": (
            f"systemctl stop {unit}-login", f"systemctl start {unit}-login", f"{unit}-login.service", "is not running",
        ),
        "volume": (
            f"mv {volume}/.volume-id {volume}/.volume-id.away", f"mv {volume}/.volume-id.away {volume}/.volume-id",
            "volume", ".volume-id",
        ),
    }[what]  # fmt: skip


def notifications(host: Any, tag: str, subject: str) -> list[str]:
    """The notifications about a subject, in order."""
    lines = host.check_output(f"journalctl --no-pager --output=cat --identifier={tag}").splitlines()
    return [line.removeprefix(f"{subject} ") for line in lines if line.startswith(f"{subject} ")]


@pytest.mark.parametrize("what", ["postgresql", "mlflow", "nginx", "login", "volume"])
def test_an_outage_is_named_and_reported_once(host: Any, server: Any, http: Any, tag: str, what: str) -> None:
    """Status: exit 1 and a sentence, never a traceback. The notifier: once it failed, once it is over."""
    stop, start, subject, words = stopped(host, server, what)
    check = f"systemctl start {server.unit}-watch.service"
    host.check_output(stop)
    try:
        done = host.run("mlflowctl status --json")
        assert done.rc == 1
        assert words in " ".join(json.loads(done.stdout)["problems"])
        assert "Traceback" not in done.stdout + done.stderr
        host.check_output(f"{check} && {check}")
        assert len(notifications(host, tag, subject)) == 1
        state = server.settings.get("mlflow_backup_state_path", "/var/lib/mlflow-backup")
        metrics = host.check_output(f"cat {state}/metrics/mlflow-up.prom")
        assert ("mlflow_up 0.0" in metrics) == (what != "login")
    finally:
        host.check_output(start)
    wait_until_ready(http, server)
    host.check_output(f"{check} && {check}")
    assert [message.startswith("is over") for message in notifications(host, tag, subject)] == [False, True]
