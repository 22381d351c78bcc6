"""Users change by running the playbook again, without an effect on others."""

from __future__ import annotations

import ssl
from http.client import HTTPSConnection
from typing import Any

from tests.harness.control import control
from tests.harness.playbook import ask, run_playbook

KEPT = {"name": "ada", "password": "correct-horse-battery", "role": "admin"}
LEAVING = {"name": "bob", "password": "second-secret-word"}
LOCKED = {"name": "dan", "password": "fourth-secret-word"}
NEW = {"name": "carol", "password": "third-secret-word", "role": "admin"}


def processes(host: Any) -> str:
    """The processes of all services, including nginx's workers, but without those that exit by themselves.

    Those are nginx's cache loader, a minute after a reload, and workers from before that reload.
    """
    main = "systemctl show -p MainPID --value mlflow.service nginx.service"
    return str(host.check_output(f"{main}; pgrep --parent $(cat /run/nginx.pid) --full 'nginx: worker process$'"))


def test_users_come_and_go_without_a_restart(host: Any) -> None:
    """A removed or locked user is refused at once, although cached; a new one can log in; a changed password counts.

    The playbook of the users is enough for that. It changes nothing else: open connections still
    work. The tag proxy of site.yml still has MLflow's routes.
    """
    done = run_playbook({"mlflow_users": [KEPT, LEAVING, LOCKED]}, ("--tags", "proxy"))
    assert done.returncode == 0, done.stdout[-3000:]
    assert "/v1/traces" in host.check_output("nginx -T 2>/dev/null | grep 'asgi;$'").replace("\\", "")
    for user in (KEPT, LEAVING, LOCKED):
        assert ask(host, user["name"], user["password"]).status_code == 200
    assert ask(host, "carol", NEW["password"]).status_code == 401
    before = processes(host)
    address = host.ansible.get_variables()["mlflow_public_url"].removeprefix("https://")
    open_before = HTTPSConnection(address, context=ssl._create_unverified_context(), timeout=120)  # noqa: S323
    open_before.request("GET", "/health")
    open_before.getresponse().read()
    held = open_before.sock

    changed = KEPT | {"password": "a-new-secret-for-ada", "role": "viewer"}
    users = [changed, NEW, LOCKED | {"state": "locked"}]
    done = run_playbook({"mlflow_users": users}, playbook="playbooks/users.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert ask(host, "bob", LEAVING["password"]).status_code == 401
    assert ask(host, "dan", LOCKED["password"]).status_code == 401
    assert ask(host, "carol", NEW["password"]).status_code == 200
    assert ask(host, "ada", KEPT["password"]).status_code == 401
    assert ask(host, "ada", changed["password"]).status_code == 200
    assert ask(host, "ada", changed["password"], "/api/2.0/mlflow/webhooks").status_code == 403
    assert processes(host) == before
    open_before.request("GET", "/health")
    assert open_before.getresponse().status == 200
    assert open_before.sock is held

    again = run_playbook({"mlflow_users": users}, playbook="playbooks/users.yml")
    assert "changed=0" in again.stdout


def test_a_user_with_the_name_of_a_token_is_refused_first(host: Any) -> None:
    """Nothing is written: the list stays as it was."""
    control(host, "token create robot --owner ada")
    users = "sha256sum /etc/mlflow/access/users.json"
    before = host.check_output(users)
    try:
        done = run_playbook({"mlflow_users": [KEPT, NEW | {"name": "robot"}]}, playbook="playbooks/users.yml")
        assert done.returncode != 0
        assert "mlflow_users: robot is the name of a token" in " ".join(done.stdout.split())
        assert host.check_output(users) == before
    finally:
        control(host, "token revoke robot")


def test_a_client_machine_knows_the_server(host: Any) -> None:
    """A login shell has the URL, and the certificate verifies the server. A second run changes nothing."""
    done = run_playbook(playbook="playbooks/clients.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    url = host.ansible.get_variables()["mlflow_public_url"]
    shell = "bash --login -c 'env; cat $MLFLOW_TRACKING_SERVER_CERT_PATH'"
    message = host.check_output(f"runuser --user nobody -- {shell}")
    assert f"MLFLOW_TRACKING_URI={url}\n" in message
    assert host.file("/etc/nginx/mlflow/tls/ca.crt").content_string.strip() in message
    assert "changed=0" in run_playbook(playbook="playbooks/clients.yml").stdout
    # These files are not the server's: test_zero_left.py searches for the server's.
    host.check_output("rm -r /etc/mlflow-client /etc/profile.d/mlflow*.sh")
