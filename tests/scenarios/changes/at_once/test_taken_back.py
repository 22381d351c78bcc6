"""Variables that are set back to their defaults remove what they had added."""

from __future__ import annotations

from typing import Any

from tests.harness.playbook import ask
from tests.scenarios.changes.at_once.switches import CONTENT, LOGIN, Written, provision


def test_all_of_it_is_reverted(host: Any) -> None:
    """MLflow reaches nothing outside, nobody is banned, and nginx writes artifacts itself again."""
    assert ask(host, *LOGIN, Written.after, method="PUT", data=CONTENT).ok
    provision()

    assert "127.0.0.0/8" not in host.check_output("systemctl show --property=IPAddressAllow --value mlflow.service")
    assert "mlflow" not in host.check_output("fail2ban-client status | grep 'Jail list'")

    assert host.service("mlflow-uploads.service").is_running
    # Small requests have priority on the processors.
    assert host.check_output("systemctl show --property=CPUWeight --value mlflow-uploads.service") == "idle"
    assert ask(host, *LOGIN, Written.after).content == CONTENT
    assert ask(host, *LOGIN, Written.after, method="PUT", data=CONTENT[1:]).ok
    assert ask(host, *LOGIN, Written.after).content == CONTENT[1:]
    assert ask(host, *LOGIN, Written.after, method="DELETE").ok
