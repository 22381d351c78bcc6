"""A password or key that does not fit the host's data is refused, before it replaces the right one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.playbook import run_playbook

SECRET = "/etc/mlflow/secrets/repository_local"


def test_a_wrong_repository_password_replaces_nothing(host: Any) -> None:
    """The repository was created with the old password: another one in the inventory is refused, and the old one stays."""
    host.check_output("mlflowctl create-repository local")
    before = host.file(SECRET).content_string
    change = {
        "mlflow_backup_repositories": [
            {"name": "local", "location": "/var/backups/mlflow", "password": "another-password-of-some-length"}
        ]
    }
    done = run_playbook(change, ("--tags", "backup"))
    assert done.returncode != 0
    assert "the password of local does not open the repository" in done.stdout
    assert "another-password" not in done.stdout + done.stderr
    assert host.file(SECRET).content_string == before


@pytest.mark.parametrize("name", ["kek_passphrase", "webhook_key"])
def test_another_key_replaces_nothing(host: Any, name: str) -> None:
    """The key that rows are encrypted with stays, and the refusal names the variable."""
    path = f"/etc/mlflow/secrets/{name}"
    before = host.file(path).content_string
    other = "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3Q="
    done = run_playbook({f"mlflow_{name}": other}, ("--tags", "mlflow"))
    assert done.returncode != 0
    assert f"mlflow_{name}: another value is on the host" in done.stdout
    assert other not in done.stdout + done.stderr
    assert host.file(path).content_string == before
