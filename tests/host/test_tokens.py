"""Named tokens on a host, used by unmodified clients."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness.control import control

LOGS = """
import mlflow
mlflow.set_experiment("by token")
with mlflow.start_run() as run:
    mlflow.log_metric("m", 1)
    mlflow.log_text("text", "a.txt")
print(mlflow.artifacts.load_text(run.info.artifact_uri + "/a.txt"), len(mlflow.search_runs()), run.info.run_id)
"""

# The timer runs twice a minute, and a token must stop working within a minute of its expiry.
EXPIRY_SECONDS = 61


@pytest.fixture
def create(server: Any, host: Any) -> Iterator[Callable[..., Any]]:
    """Create a token of the first user; removed after the test."""
    names = []

    def make(name: str, more: str = "") -> Any:
        names.append(name)
        return control(host, f"token create {name} --owner {server.login[0]} {more}")

    yield make
    present = {entry["name"] for entry in control(host, "token list")}
    for name in present.intersection(names):
        control(host, f"token revoke {name}")


def status(server: Any, session: Any, token: str, path: str = "/version") -> int:
    """The answer to a request with a token."""
    answer = session.get(server.url + path, headers={"Authorization": f"Bearer {token}"})
    return int(answer.status_code)


def test_a_client_works_with_a_token(
    server: Any, host: Any, client: Callable[..., str], create: Callable[..., Any]
) -> None:
    """MLFLOW_TRACKING_TOKEN is enough to log, upload, download and search; the list shows when it was used."""
    made = create("ci", "--role editor")
    environment = {
        "MLFLOW_TRACKING_TOKEN": made["token"],
        "MLFLOW_TRACKING_USERNAME": "",
        "MLFLOW_TRACKING_PASSWORD": "",
    }
    assert client("-c", LOGS, **environment).splitlines()[-1].startswith("text ")
    (listed,) = [entry for entry in control(host, "token list") if entry["name"] == "ci"]
    assert (listed["role"], listed["state"], listed["owner"]) == ("editor", "valid", server.login[0])
    assert listed["last_used"].startswith("20")
    assert made["token"] not in json.dumps(control(host, "token list"))


def test_revoking_and_rotating_count_with_the_next_request(
    server: Any, host: Any, anonymous: Any, create: Callable[..., Any]
) -> None:
    """Although the login was cached a moment ago."""
    first = create("short")["token"]
    assert [status(server, anonymous, first) for _ in range(3)] == [200, 200, 200]
    second = control(host, "token rotate short")["token"]
    assert (status(server, anonymous, first), status(server, anonymous, second)) == (401, 200)
    control(host, "token revoke short")
    assert status(server, anonymous, second) == 401


def test_nginx_needs_no_reload(server: Any, host: Any, anonymous: Any, create: Callable[..., Any]) -> None:
    """No process is replaced, so no connection is dropped."""
    workers = host.check_output("pgrep -P $(cat /run/nginx.pid)")
    token = create("quiet")["token"]
    assert status(server, anonymous, token) == 200
    assert host.check_output("pgrep -P $(cat /run/nginx.pid)") == workers


def test_tokens_survive_a_restart(server: Any, host: Any, anonymous: Any, create: Callable[..., Any]) -> None:
    """Of nginx, with its cache."""
    token = create("lasting")["token"]
    host.check_output("systemctl restart nginx")
    assert status(server, anonymous, token) == 200


def test_an_expired_token_stops_working(server: Any, host: Any, anonymous: Any, create: Callable[..., Any]) -> None:
    """The timer ends it, without any request."""
    token = create("brief", "--expires 5s")["token"]
    assert status(server, anonymous, token) == 200
    deadline = time.monotonic() + 5 + EXPIRY_SECONDS
    while status(server, anonymous, token) != 401:
        assert time.monotonic() < deadline, host.check_output(f"systemctl status {server.unit}-access.timer")
        time.sleep(1)
    (listed,) = [entry for entry in control(host, "token list") if entry["name"] == "brief"]
    assert listed["state"] == "expired"


def test_many_at_once_are_one_login(server: Any, create: Callable[..., Any]) -> None:
    """When the cache is empty, a user's many programs log in concurrently: these are no guesses."""
    url = urlsplit(server.url)
    login = base64.b64encode(":".join(server.login).encode()).decode()
    together = threading.Barrier(64, timeout=60)

    def ask(_: int) -> int:
        connection = HTTPSConnection(url.netloc, context=ssl.create_default_context(cafile=server.ca), timeout=60)
        connection.connect()
        together.wait()
        connection.request("GET", f"{url.path}/version", headers={"Authorization": f"Basic {login}"})
        return connection.getresponse().status

    for number in range(3):
        create(f"newcomer{number}")  # any change of a login invalidates the cache
        with ThreadPoolExecutor(64) as clients:
            assert {*clients.map(ask, range(64))} == {200}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("create x --owner nobody", "there is no active user 'nobody'"),
        ("create x --owner eve --role admin", "'eve' is editor: their tokens cannot be admin"),
        ("create x --owner eve --role root", "there is no role 'root'"),
        ("create ../x --owner eve", "cannot be used"),
        ("create eve --owner eve", "is a user's name"),
        ("revoke nothing", "there is no token 'nothing'"),
    ],
)
def test_bad_input_is_refused(server: Any, host: Any, arguments: str, message: str) -> None:
    """Exit code 2 and one sentence that says what to do; nothing changes."""
    link = f"readlink /var/lib/{server.unit}-proxy/logins"
    before = host.check_output(link)
    done = host.run(f"mlflowctl token {arguments}")
    assert (done.rc, message in done.stderr) == (2, True), done.stderr
    assert host.check_output(link) == before


def test_no_secret_can_be_read(server: Any, host: Any, create: Callable[..., Any]) -> None:
    """Neither the token, nor its secret, nor a hash, by anybody but root and nginx."""
    made = create("hidden")
    secret = base64.b64decode(made["token"]).decode().split(":")[1]
    settings, compiled = server["mlflow_config_path"], f"/var/lib/{server.unit}-proxy"
    places = f"{settings} {compiled} /etc/nginx /var/log /run/{server.unit}-proxy"
    assert host.run(f"grep -rlF -e {secret} -e {made['token']} {places}").stdout == ""
    for path in (f"{settings}/access/tokens.json", f"{compiled}/logins/tokens/hidden"):
        assert host.file(path).exists
        assert host.run(f"runuser -u nobody -- cat {path}").rc != 0


def test_whoami_shows_the_user_of_a_login(server: Any, host: Any, anonymous: Any) -> None:
    """Name and role of the login; mlflowctl uses the public URL like a client."""
    url = server.url + "/-/whoami"
    assert anonymous.get(url).status_code == 401
    assert anonymous.get(url, auth=("bob", "second-secret-word")).json() == {"name": "bob", "role": "viewer"}
    bundle = f"/root/{time.time_ns()}.zip"
    control(host, f"client-bundle eve --output {bundle}")
    unpack = f"python3 -m zipfile -e {bundle} /root/bundle"
    asked = "MLFLOW_TRACKING_PASSWORD=third-secret-word MLFLOW_TRACKING_USERNAME=eve mlflowctl whoami --json"
    address = f"export MLFLOW_TRACKING_URI={server.url} MLFLOW_TRACKING_SERVER_CERT_PATH=/root/bundle/mlflow-eve/ca.crt"
    reach = f"ip address add {urlsplit(server.url).hostname}/32 dev lo 2>/dev/null"
    message = host.check_output(f"{unpack}; {reach}; {address}; {asked}; rm -r /root/bundle {bundle}")
    assert json.loads(message) == {"name": "eve", "role": "editor"}


def test_status_names_what_would_keep_tokens_alive(server: Any, host: Any) -> None:
    """A damaged file, and a timer that does not run; nginx's files stay in use."""
    users = f"{server['mlflow_config_path']}/access/users.json"
    access = f"{server.unit}-access"
    # The service, too: a run that the timer has just begun would be the one that is waited for below.
    host.check_output(
        f"systemctl stop {access}.timer {access}.service; cp -p {users} {users}.kept; echo '{{' > {users}"
    )
    try:
        assert host.run(f"systemctl start {access}.service").rc != 0
        problems = json.loads(host.run("mlflowctl status --json").stdout)["problems"]
    finally:
        host.check_output(f"mv {users}.kept {users}; systemctl start {access}.service {access}.timer")
    assert f"{access}.timer is not running: systemctl start {access}.timer" in problems
    assert f"{access}.service failed: journalctl -u {access}.service" in problems
    problems = json.loads(host.run("mlflowctl status --json").stdout)["problems"]
    assert [problem for problem in problems if access in problem] == []
