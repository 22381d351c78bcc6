"""Users change by running the playbook again, and nobody else notices."""

from __future__ import annotations

from typing import Any

from tests.hosts.playbook import ask, run_playbook

KEPT = {"name": "ada", "password": "correct-horse-battery"}
LEAVING = {"name": "bob", "password": "second-secret-word"}
NEW = {"name": "carol", "password": "third-secret-word"}


def processes(host: Any) -> str:
    """The main processes of what serves."""
    return str(host.check_output("systemctl show -p MainPID --value mlflow.service nginx.service"))


def test_users_come_and_go_without_a_restart(host: Any) -> None:
    """A removed user is shut out at once, though just seen; a new one gets in; a changed password counts at once.

    The proxy's part of the playbook is enough for that, and still knows MLflow's routes.
    """
    only = ("--tags", "proxy")
    assert run_playbook({"mlflow_users": [KEPT, LEAVING]}, only).returncode == 0
    assert ask(host, "ada", KEPT["password"]).status_code == 200
    assert ask(host, "bob", LEAVING["password"]).status_code == 200
    assert ask(host, "carol", NEW["password"]).status_code == 401
    before = processes(host)

    changed = KEPT | {"password": "a-new-secret-for-ada"}
    done = run_playbook({"mlflow_users": [changed, NEW]}, only)
    assert done.returncode == 0, done.stdout[-3000:]
    assert ask(host, "bob", LEAVING["password"]).status_code == 401
    assert ask(host, "carol", NEW["password"]).status_code == 200
    assert ask(host, "ada", KEPT["password"]).status_code == 401
    assert ask(host, "ada", changed["password"]).status_code == 200
    assert processes(host) == before
    assert "/v1/traces" in host.check_output("nginx -T 2>/dev/null | grep 'asgi;$'").replace("\\", "")
