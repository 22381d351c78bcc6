"""nginx's own way with artifacts is switched off on a host that had it, and on again."""

from __future__ import annotations

import uuid
from typing import Any

from tests.hosts.artifacts import API
from tests.hosts.playbook import ask, run_playbook

LOGIN = ("ada", "correct-horse-battery")
CONTENT = b"x" * 2_000_000  # so much is for the second nginx to write
UNIT = "mlflow-uploads.service"


def provisioned(fast: bool) -> str:
    """Run the play; returns what it printed."""
    done = run_playbook({"proxy_artifact_fast_path": fast}, ("--tags", "proxy"))
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_artifacts_are_the_same_either_way(host: Any) -> None:
    """The second nginx leaves with its files and comes back; what was written before is read afterwards, and deleted."""
    fast, slow = (f"{API}/0/{uuid.uuid4().hex}/artifacts/folder/file" for _ in range(2))
    provisioned(fast=True)
    assert ask(host, *LOGIN, fast, method="PUT", data=CONTENT).ok

    provisioned(fast=False)
    assert "changed=0 " in provisioned(fast=False)
    assert not host.service(UNIT).is_running
    assert not host.file(f"/etc/systemd/system/{UNIT}").exists
    assert ask(host, *LOGIN, slow, method="PUT", data=CONTENT).ok
    assert ask(host, *LOGIN, fast).content == CONTENT
    assert ask(host, *LOGIN, fast, method="DELETE").ok

    provisioned(fast=True)
    assert host.service(UNIT).is_running
    # Small requests go first on the processors.
    assert host.check_output(f"systemctl show --property=CPUWeight --value {UNIT}") == "idle"
    assert ask(host, *LOGIN, slow, method="PUT", data=CONTENT[1:]).ok
    assert ask(host, *LOGIN, slow).content == CONTENT[1:]
    assert ask(host, *LOGIN, slow, method="DELETE").ok
