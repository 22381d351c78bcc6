"""mlflow_proxy_artifact_fast_path is switched off on a host that had it."""

from __future__ import annotations

from typing import Any

from tests.harness.playbook import ask
from tests.scenarios.changes.at_once.switches import CONTENT, LOGIN, VARIABLES, Written, provision

UNIT = "mlflow-uploads.service"


def test_artifacts_are_the_same_without_it(host: Any) -> None:
    """The second nginx is removed with its files; older artifacts can be read and deleted."""
    assert not host.service(UNIT).is_running
    assert not host.file(f"/etc/systemd/system/{UNIT}").exists
    assert ask(host, *LOGIN, Written.after, method="PUT", data=CONTENT).ok
    assert ask(host, *LOGIN, Written.before).content == CONTENT
    assert ask(host, *LOGIN, Written.before, method="DELETE").ok


def test_a_second_run_changes_nothing(host: Any) -> None:
    """For any of the variables."""
    del host
    assert "changed=0 " in provision(VARIABLES)
