"""Isolation from local users, from the network, and of secrets."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness.sandbox import CLOSED, exposure, shown


def units(server: Any) -> list[str]:
    """The units whose processes run MLflow's code."""
    return [f"{server.unit}{kind}.service" for kind in ("", "-asgi", "-db-init")]


def test_only_nginx_listens_on_a_network_address(server: Any, host: Any) -> None:
    """No TCP or UDP port but nginx's is open, on any address."""
    lines = host.check_output("ss --tcp --udp --listening --numeric --processes --no-header").splitlines()
    listeners = {
        (int(line.split()[4].rsplit(":", 1)[1]), "".join(re.findall(r'\(\("([^"]+)"', line))) for line in lines
    }
    public = urlsplit(server.url).port or 443
    assert listeners == {(public, "nginx"), (server["mlflow_proxy_http_port"], "nginx")}


@pytest.mark.parametrize("name", ["wsgi", "asgi"])
def test_backend_sockets_refuse_other_local_users(server: Any, host: Any, name: str) -> None:
    """A local user cannot bypass the login through a backend's socket."""
    path = f"{server['mlflow_runtime_path']}/{name}.sock"
    script = f"import socket; socket.socket(socket.AF_UNIX).connect('{path}')"
    assert host.file(path).is_socket
    refused = host.run(f'runuser -u mallory -- python3 -c "{script}"')
    assert "PermissionError" in refused.stderr
    assert host.run(f'runuser -u www-data -- python3 -c "{script}"').rc == 0


def test_login_server_refuses_other_local_users(server: Any, host: Any) -> None:
    """A local user can neither guess passwords at its socket nor read cached logins."""
    for path in (f"/run/{server.unit}-proxy/login/hash.sock", f"/run/{server.unit}-proxy/login/cache"):
        assert host.run(f"runuser -u mallory -- ls {path}").rc != 0
        assert host.run(f"ls {path}").rc == 0


@pytest.mark.parametrize("user", ["mallory", "www-data"])
def test_database_refuses_other_local_users(server: Any, host: Any, user: str) -> None:
    """Nobody but the service's user gets into the database, whatever role they claim."""
    for role in (server["mlflow_database_role"], "postgres"):
        refused = host.run(f"runuser -u {user} -- psql -U {role} -d {server['mlflow_database']} -c 'SELECT 1'")
        assert refused.rc != 0
        assert "Peer authentication failed" in refused.stderr


def test_database_role_owns_one_database_and_nothing_else(server: Any, host: Any) -> None:
    """The role cannot create databases or roles, and can connect only to its own database."""
    role, database = server["mlflow_database_role"], server["mlflow_database"]
    query = (
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
        " (SELECT string_agg(datname, ',') FROM pg_database d WHERE datdba = r.oid),"
        " (SELECT count(*) FROM pg_auth_members m WHERE m.member = r.oid)"
        f" FROM pg_roles r WHERE rolname = '{role}'"
    )
    assert host.check_output(f'psql -U postgres -Atc "{query}"') == f"f|f|f|f|f|{database}|0"
    other = host.run(f"runuser -u {server['mlflow_user']} -- psql -U {role} -d postgres -c 'SELECT 1'")
    assert other.rc != 0


@pytest.mark.parametrize("kind", ["", "-asgi", "-db-init"])
def test_sandbox_is_exactly_this(server: Any, host: Any, kind: str) -> None:
    """Every process of MLflow runs in exactly the intended sandbox."""
    unit = f"{server.unit}{kind}.service"
    more = {"User": server["mlflow_user"], "ReadWritePaths": f"-{server['mlflow_volume_path']}", "UMask": "0007"}
    assert shown(host, unit, {*CLOSED, *more}) == CLOSED | more


@pytest.mark.parametrize(("kind", "limit"), [("", 1.0), ("-asgi", 1.5)])
def test_exposure(server: Any, host: Any, kind: str, limit: float) -> None:
    """systemd-analyze rates the REST unit at 1.0 or less and the ASGI unit at 1.5 or less."""
    assert exposure(host, f"{server.unit}{kind}.service") <= limit


def test_service_cannot_change_its_own_code_or_settings(server: Any, host: Any) -> None:
    """Code and settings belong to root; the service's user can write only to the volume."""
    user = server["mlflow_user"]
    for path in (server["mlflow_root_path"], server["mlflow_config_path"]):
        assert host.check_output(f"find {path} -user {user} | head -n 5") == ""
        assert host.check_output(f"find {path} -not -type l -perm /o+w | head -n 5") == ""


# Files, directories and sockets, by the accounts besides root that may use them. The processes of an
# account must not reach those that are not listed for it.
REACHED: dict[str, set[str]] = {
    "{volume}": set(),
    "{volume}/store": {"mlflow", "nginx"},
    "{volume}/incoming": {"nginx"},
    "{config}": {"mlflow"},
    "{config}/mlflow.env": {"mlflow"},
    "{config}/mlflowctl.toml": set(),
    "{config}/mlflowctl.d": set(),
    "{config}/mlflowctl.d/backup.toml": set(),
    "{config}/access.toml": set(),
    "{config}/access": set(),
    "{config}/access/users.json": set(),
    "{config}/secrets": set(),
    "{config}/secrets/kek_passphrase": set(),
    "{runtime}/wsgi.sock": {"mlflow", "nginx"},
    "{runtime}/asgi.sock": {"mlflow", "nginx"},
    "/etc/nginx/{unit}": {"nginx"},
    "/etc/nginx/{unit}/login.conf": {"nginx"},
    "/etc/nginx/{unit}/tls": {"nginx"},
    "/etc/nginx/{unit}/tls/server.key": set(),
    "/var/lib/{unit}-proxy": set(),
    "/var/lib/{unit}-proxy/login-key": {"nginx"},
    "/var/lib/{unit}-proxy/logins/people": {"nginx"},
    "/var/lib/{unit}-proxy/logins/passwords": set(),
    "/var/lib/{unit}-proxy/logins/passwords/{name}": set(),
    "/run/{unit}-login/check.sock": {"nginx"},
    "/var/lib/nginx/body": {"nginx"},
    "/run/{unit}-proxy/login": {"nginx"},
    "/run/{unit}-proxy/login/cache": {"nginx"},
    "/run/{unit}-proxy/login/answers": {"nginx"},
    "/run/{unit}-proxy/login/hash.sock": {"nginx"},
    "/run/{unit}-uploads": {"nginx"},
    "/run/{unit}-uploads/write.sock": {"nginx"},
    "/var/log/{unit}": {"nginx"},
    "/var/log/{unit}/audit.log": {"nginx"},
    "/var/log/nginx/{unit}-login.log": {"nginx"},
    "/var/log/nginx/access.log": {"nginx"},
    "/var/log/nginx/error.log": {"nginx"},
    "/var/lib/postgresql/{postgres}/main": set(),
}


def groups(host: Any, pid: str) -> list[str]:
    """The names of the groups that a process is in, its first one included."""
    lines = dict(line.split(":", 1) for line in host.check_output(f"cat /proc/{pid}/status").splitlines())
    numbers = {lines["Gid"].split()[1], *lines["Groups"].split()}
    return sorted(host.check_output(f"getent group {number}").split(":")[0] for number in numbers)


def processes(server: Any, host: Any) -> dict[str, tuple[str, str]]:
    """Users by the short name of their service, each with a process."""
    main = host.check_output(f"systemctl show --property MainPID --value {server.unit}.service")
    worker = host.check_output("pgrep --oldest --parent $(cat /run/nginx.pid)")
    return {"mlflow": (server["mlflow_user"], main), "nginx": ("www-data", worker)}


def test_each_process_is_in_its_own_groups_only(server: Any, host: Any) -> None:
    """One group owns the volume and nothing else; apart from it MLflow's account shares no group with nginx."""
    volume, user = f"{server.unit}-artifacts", server["mlflow_user"]
    found = {name: groups(host, pid) for name, (_, pid) in processes(server, host).items()}
    assert found == {"mlflow": sorted([user, volume]), "nginx": sorted(["www-data", volume])}
    uploads = host.check_output(f"systemctl show --property MainPID --value {server.unit}-uploads.service")
    assert groups(host, uploads) == sorted(["www-data", volume])
    for unit in units(server):
        assert host.check_output(f"systemctl show --property SupplementaryGroups --value {unit}") == volume
    path = server["mlflow_volume_path"]
    owned = f"find / -xdev -path /proc -prune -o -path '{path}/*' -prune -o -group {volume} -print"
    assert host.check_output(owned).splitlines() in ([path], [])  # none: it is a file system of its own
    assert host.check_output(f"find {path}/store {path}/incoming -not -group {volume}") == ""


@pytest.mark.parametrize("who", ["mlflow", "nginx", "mallory"])
def test_each_account_can_only_access_its_own_files(server: Any, host: Any, who: str) -> None:
    """Exactly the files, directories and sockets that it needs, with the groups that its processes have."""
    words = {
        "volume": server["mlflow_volume_path"],
        "config": server["mlflow_config_path"],
        "runtime": server["mlflow_runtime_path"],
        "unit": server.unit,
        "name": server.login[0],
        "postgres": host.check_output("ls /var/lib/postgresql"),
    }
    paths = {path.format(**words): may for path, may in REACHED.items()}
    there = host.check_output(f"ls --directory {' '.join(paths)} 2>/dev/null || true").split()
    assert set(there) == set(paths)
    user, pid = processes(server, host).get(who, ("mallory", ""))
    member = "--groups " + ",".join(groups(host, pid)) if pid else "--init-groups"
    probe = 'for path; do if [ -S "$path" ]; then test -w "$path"; else test -r "$path"; fi && echo "$path"; done; true'
    reached = host.check_output(
        f"setpriv --reuid {user} --regid {user} {member} -- sh -c '{probe}' sh {' '.join(there)}"
    ).splitlines()
    assert set(reached) == {path for path, may in paths.items() if who in may}


def secrets(server: Any, host: Any) -> list[str]:
    """Every secret of this host."""
    found: list[str] = host.check_output(f"cat {server['mlflow_config_path']}/secrets/*").split()
    # MLflow's three keys; each repository's password, and the credentials of its storage.
    repositories = host.ansible.get_variables().get("mlflow_backup_repositories", [{}])
    credentials = sum(len(repository.get("environment", {})) for repository in repositories)
    assert len(found) == 3 + len(repositories) + credentials
    # Credentials are NAME=value; the name of an account is no secret.
    found = [re.sub("^[A-Z_]+=", "", word) for word in found if not word.startswith("AWS_ACCESS_KEY_ID=")]
    files = f"cat /var/lib/{server.unit}-proxy/logins/passwords/*"
    hashes = [line.split(":", 1)[1] for line in host.check_output(files).split()]
    assert len(hashes) == len(server["mlflow_users"])
    passwords: list[str] = [user["password"] for user in server["mlflow_users"] if "password" in user]
    return [*found, *hashes, *passwords]


def test_no_secret_where_it_does_not_belong(server: Any, host: Any) -> None:
    """No secret in process arguments, the journal, unit files or files that others can read."""
    places = {
        "ps": host.check_output("ps -eww -o args"),
        # Other tests name artifacts in bytes that are no UTF-8.
        "journal": host.check_output("journalctl --no-pager -o cat | iconv -c -f UTF-8 -t UTF-8; true"),
        "units": host.check_output(f"systemctl cat '{server.unit}*' nginx.service"),
        "environment": host.check_output(f"systemctl show -p Environment {' '.join(units(server))}"),
    }
    for secret in secrets(server, host):
        for place, text in places.items():
            assert secret not in text, f"a secret is in {place}"
        quoted = secret.replace("'", "'\\''")
        readable = host.run(
            "find /etc /opt /srv /var/lib /var/log /var/cache/mlflow /run /tmp /root -xdev -type f -perm /o+r -size -2M -print0"
            f" 2>/dev/null | xargs -0 grep --files-with-matches --fixed-strings -e '{quoted}'"
        )
        assert readable.stdout == ""


def test_processes_do_not_hold_secrets_in_their_environment(server: Any, host: Any) -> None:
    """A process's initial environment, which tools print, holds no secret."""
    pid = host.check_output(f"systemctl show -p MainPID --value {server.unit}.service")
    environment = host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/environ")
    assert "MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2:///?service=" in environment
    for secret in secrets(server, host):
        assert secret not in environment


@pytest.mark.parametrize(
    ("path", "mode", "owner"),
    [
        ("{mlflow_config_path}/secrets", 0o700, "root"),
        ("{mlflow_config_path}/secrets/kek_passphrase", 0o600, "root"),
        ("{mlflow_config_path}", 0o750, "root"),
        ("{mlflow_config_path}/access/users.json", 0o600, "root"),
        ("/var/lib/{mlflow_unit}-proxy", 0o711, "root"),
        ("/var/lib/{mlflow_unit}-proxy/login-key", 0o640, "root"),
        ("/var/lib/{mlflow_unit}-proxy/logins/passwords", 0o750, "root"),
        ("/etc/nginx/{mlflow_unit}/tls/server.key", 0o600, "root"),
    ],
)
def test_files_that_hold_secrets(server: Any, host: Any, path: str, mode: int, owner: str) -> None:
    """Secrets are readable by root, and hashes by nginx, only."""
    file = host.file(path.format(**server.settings))
    assert (file.mode, file.user) == (mode, owner)
