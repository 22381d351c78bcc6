"""An uninstallation removes the server, with its data or without, and it can be installed again. The host's last test file."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.harness.control import control
from tests.harness.playbook import ask, run_playbook

UNINSTALL = "playbooks/uninstall.yml"
API = "/api/2.0/mlflow/experiments/"
# Everything with our name outside of the data; a process's directories in /run are temporary.
LOOK = (
    "find /etc /opt /usr/local /run /var -xdev -name '*mlflow*' -not -path '/run/systemd/*' -not -path '/run/credentials*'"
    " -not -path '/var/lib/mlflow/*' -not -path '/var/lib/mlflow-backup/*' -not -path '/var/lib/apt/*' -not -path '/var/lib/systemd/*' | sort;"
    " getent passwd | cut -d: -f1; getent group | cut -d: -f1,4;"
    " systemctl list-unit-files --no-legend --plain; systemctl list-units --all --no-legend --plain | grep -v ^var-cache-mlflow.mount; ss -Hlntx;"
    " cat /etc/nginx/nginx.conf /etc/fstab"
)
KEYS = "/etc/nginx/mlflow/tls/server.crt /etc/mlflow/secrets/* /etc/mlflow/access/tokens.json"
DATA = [
    "/etc/mlflow",
    "/etc/nginx/mlflow",
    "/var/backups/mlflow",
    "/var/cache/mlflow",
    "/var/lib/mlflow",
    "/var/lib/mlflow-backup",
    "/var/log/mlflow",
]


@pytest.fixture(scope="module")
def removed(host: Any) -> dict[str, Any]:
    """The state of the host before an uninstallation that kept the data, which has run."""
    name = host.ansible.get_variables()["inventory_hostname"]
    made = ask(host, "ada", "correct-horse-battery", API + "create", method="POST", json={"name": f"kept by {name}"})
    assert made.status_code == 200, made.text
    control(host, "token create keeper --owner ada --role viewer")
    shown = host.check_output(f"sha256sum {KEYS}")
    done = run_playbook(playbook=UNINSTALL)
    assert done.returncode == 0, done.stdout[-3000:]
    return {"experiment": made.json()["experiment_id"], "shown": shown}


def test_nothing_is_left_but_the_data(host: Any, removed: dict[str, Any]) -> None:
    """No file, unit, user, group or socket has our name, except for what is kept, which only root can open."""
    del removed
    left = [line for line in host.check_output(LOOK).splitlines() if re.search(r"mlflow|pcre_jit|8192", line)]
    assert [line for line in left if line not in DATA and "/var/lib/mlflow/artifacts" not in line] == []
    for path in ("/etc/mlflow", "/etc/nginx/mlflow", "/var/lib/mlflow/artifacts", "/var/log/mlflow"):
        assert host.check_output(f"stat --format '%U %G %a' {path}") == "root root 700"
    assert host.check_output("systemctl is-active nginx; systemctl --failed --no-legend").split() == ["active"]
    again = run_playbook(playbook=UNINSTALL)
    assert re.search(r"changed=0 .*failed=0", again.stdout), again.stdout[-3000:]


def test_it_can_be_installed_again_with_its_data(host: Any, removed: dict[str, Any]) -> None:
    """Experiments, logins, tokens, keys and certificate are the same."""
    done = run_playbook()
    assert done.returncode == 0, done.stdout[-3000:]
    found = ask(host, "ada", "correct-horse-battery", API + f"get?experiment_id={removed['experiment']}")
    assert found.status_code == 200, found.text
    assert "keeper" in str(control(host, "token list"))
    assert host.check_output(f"sha256sum {KEYS}") == removed["shown"]


@pytest.mark.parametrize("confirmed", ["", "yes", "https://other.example.com"])
def test_data_are_deleted_only_if_confirmed(host: Any, confirmed: str) -> None:
    """Without the confirmation nothing changes."""
    before = host.check_output("systemctl show --property MainPID mlflow.service nginx.service")
    done = run_playbook({"uninstall_delete_data": True, "uninstall_confirm": confirmed}, playbook=UNINSTALL)
    assert done.returncode != 0
    assert "give uninstall_confirm the public URL" in " ".join(done.stdout.split())
    assert host.check_output("systemctl show --property MainPID mlflow.service nginx.service") == before


def test_data_are_deleted_if_confirmed(host: Any) -> None:
    """Artifacts, database, role, keys, certificates, logs and recovery points on the host."""
    url = host.ansible.get_variables()["mlflow_public_url"]
    asked = {"uninstall_delete_data": True, "uninstall_confirm": url}
    for _ in range(2):
        done = run_playbook(asked, playbook=UNINSTALL)
        assert done.returncode == 0, done.stdout[-3000:]
    assert "changed=0" in done.stdout
    left = [line for line in host.check_output(LOOK).splitlines() if "mlflow" in line and line != "/var/cache/mlflow"]
    assert left == []
    query = "SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles"
    assert "mlflow" not in host.check_output(f"cd / && runuser -u postgres -- psql -Atc '{query}'").split()
