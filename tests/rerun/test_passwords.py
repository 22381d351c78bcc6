"""A password of a repository that does not open it is refused, before the one that does is gone."""

from __future__ import annotations

from typing import Any

from tests.hosts.playbook import run_playbook

SECRET = "/etc/mlflow/secrets/repository_local"


def test_a_wrong_repository_password_replaces_nothing(host: Any) -> None:
    """Another password in the inventory, the repository made with the old one: named, and the old one stays."""
    host.check_output("mlflowctl create-repository local")
    before = host.file(SECRET).content_string
    change = {
        "backup_repositories": [
            {"name": "local", "location": "/var/backups/mlflow", "password": "another-password-of-some-length"}
        ]
    }
    done = run_playbook(change)
    assert done.returncode != 0
    assert "the password of local does not open the repository" in done.stdout
    assert "another-password" not in done.stdout + done.stderr
    assert host.file(SECRET).content_string == before
