"""The endpoints that each role may use: all of the installed release, for each kind of login."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from plugins.filter.access import ROLES, Entry
from scripts.access_table import LISTS, PAGE, endpoints_list, endpoints_table, entries_of
from scripts.readme_tables import render
from tests.harness.control import control


@pytest.fixture(scope="module")
def endpoints(server: Any, host: Any) -> list[Entry]:
    """Each endpoint of the installed release with the role that it needs."""
    description = json.loads(host.file(f"{server['mlflow_root_path']}/current/release.json").content_string)
    return entries_of(description["endpoints"])


@pytest.fixture(scope="module")
def without_mlflow(server: Any, host: Any) -> Iterator[None]:
    """MLflow is stopped: requests that the proxy allows are answered with 429, and change nothing."""
    units = [f"{server.unit}{kind}" for kind in (".socket", ".service", "-asgi.socket", "-asgi.service")]
    # nginx caches the answer of /health for a second.
    host.check_output("systemctl stop " + " ".join(units) + " && sleep 2")
    yield
    host.check_output("systemctl start " + " ".join(units))


@pytest.fixture(scope="module")
def logins(server: Any, host: Any) -> Iterator[dict[str, Any]]:
    """All kinds of login: a user and a token for each role, and those that are no longer valid."""
    found: dict[str, Any] = {"anonymous": None}
    for user in server["mlflow_users"]:
        found[user.get("role", "editor")] = (user["name"], user.get("password", "second-secret-word"))
    wishes = {f"{role} by token": f"--role {role}" for role in ROLES}
    wishes |= {"expired token": "--expires 1s", "revoked token": ""}
    for number, (who, wish) in enumerate(wishes.items()):
        made = control(host, f"token create matrix-{number} --owner {server.login[0]} {wish}")
        found[who] = made["token"]
    control(host, f"token revoke matrix-{len(wishes) - 1}")
    # The timer does this twice a minute; test_tokens.py waits for it.
    host.check_output("sleep 1; mlflowctl access apply")
    yield found
    for number in range(len(wishes) - 1):
        control(host, f"token revoke matrix-{number}")


def request_as(server: Any, session: requests.Session, login: Any, method: str, path: str) -> requests.Response:
    """A request with a name and password, a token, or without a login."""
    headers = {"Authorization": f"Bearer {login}"} if isinstance(login, str) else {}
    auth = login if isinstance(login, tuple) else None
    return session.request(method, server.url + path, auth=auth, headers=headers, allow_redirects=False)


def test_the_list_of_endpoints_is_the_installed_releases(endpoints: list[Entry]) -> None:
    """The endpoints of a new release must be in docs/reference/endpoints.md."""
    text = PAGE.read_text()
    assert render(text, "endpoints", endpoints_table(endpoints)) == text, endpoints_table(endpoints)
    kept = {path.name: path.read_text() for path in LISTS.iterdir()}
    assert endpoints_list([entry["endpoint"] for entry in endpoints]) in kept.values(), sorted(kept)


@pytest.mark.parametrize(
    "who", ["anonymous", "expired token", "revoked token", *ROLES, *(f"{role} by token" for role in ROLES)]
)
@pytest.mark.usefixtures("without_mlflow")
def test_endpoints_by_role(
    server: Any, anonymous: Any, endpoints: list[Entry], logins: dict[str, Any], who: str
) -> None:
    """Each login can use exactly the endpoints of its role."""
    role = who.removesuffix(" by token")
    reach = ROLES.index(role) if role in ROLES else -1
    surprises = []
    for endpoint in endpoints:
        method, path = re.sub(r"<[^>]*>", "x", endpoint["endpoint"]).split(" ")
        answer = request_as(server, anonymous, logins[who], method, path).status_code
        allowed = ROLES.index(endpoint["role"]) <= reach
        # MLflow is stopped; nginx serves the files of the UI, and this is none of them.
        reached = 404 if path.startswith("/static-files/") else 429
        expected = reached if path == "/health" or allowed else 401 if reach < 0 else 403
        if answer != expected:
            surprises.append((endpoint, answer, expected))
    assert surprises == []
    assert len(endpoints) > 400


@pytest.mark.parametrize(
    "odd",
    [
        ("HEAD", "/api/2.0/mlflow/runs/get", "viewer"),
        ("PROPFIND", "/", "admin"),
        ("PATCH", "/api/2.0/mlflow/runs/search", "admin"),
        ("POST", "/api/9.0/mlflow/runs/search", "admin"),
        ("GET", "/docs", "admin"),
        ("GET", "/openapi.json", "admin"),
        # spelt so that nginx and MLflow could read it differently
        ("POST", "/api/2.0/mlflow/runs/%73earch", "viewer"),
        ("POST", "//api/2.0/mlflow/runs/delete", "admin"),
        ("POST", "/api/2.0/mlflow/runs/search/", "admin"),
        ("POST", "/api/2.0/mlflow/runs/search;x", "admin"),
        ("POST", "/API/2.0/mlflow/runs/DELETE", "admin"),
        ("POST", "/api/2.0/mlflow/runs%2fdelete", "admin"),
    ],
)
@pytest.mark.usefixtures("without_mlflow")
def test_odd_requests_need_a_role_too(
    server: Any, anonymous: Any, logins: dict[str, Any], odd: tuple[str, str, str]
) -> None:
    """Requests without a rule are for admins, in any spelling."""
    method, path, role = odd
    for who in ROLES:
        expected = 429 if ROLES.index(role) <= ROLES.index(who) else 403
        assert send_as_it_is(server, anonymous, logins[who], method, path) == expected, who


@pytest.mark.parametrize("step", ["..", "%2e%2e", "%2E.", ".%2e"])
@pytest.mark.parametrize("slash", ["/", "%2f", "%2F"])
@pytest.mark.usefixtures("without_mlflow")
def test_no_way_around_by_parent_directories(
    server: Any, anonymous: Any, logins: dict[str, Any], step: str, slash: str
) -> None:
    """nginx would resolve them and MLflow would not, so they are always refused, before the login."""
    path = f"/api/2.0/mlflow/runs/delete{slash}{step}{slash}search"
    for who in ("viewer", "admin"):
        assert send_as_it_is(server, anonymous, logins[who], "POST", path) == 400


def send_as_it_is(server: Any, session: requests.Session, login: Any, method: str, path: str) -> int:
    """Send a path that the library would otherwise normalize."""
    request = session.prepare_request(requests.Request(method, server.url, auth=login))
    request.url = server.url + path
    return session.send(request, verify=server.ca, allow_redirects=False).status_code
