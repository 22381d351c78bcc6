"""Authentication: which logins are accepted, under which host name, and over which protocol."""

from __future__ import annotations

import base64
import socket
import ssl
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

PATHS = [
    "/",
    "/ready",
    "/version",
    "/api/2.0/mlflow/experiments/search",
    "/ajax-api/2.0/mlflow/experiments/search",
    "/api/2.0/mlflow-artifacts/artifacts/x",
    "/static-files/index.html",
    "/v1/traces",
    "/graphql",
    "/-/login",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_nothing_answers_without_a_login(server: Any, anonymous: Any, path: str, method: str) -> None:
    """Every path and method but /health needs a login."""
    answer = anonymous.request(method, server.url + path)
    assert answer.status_code in (401, 404) if path == "/-/login" else answer.status_code == 401
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_health_is_open_and_says_nothing(server: Any, anonymous: Any) -> None:
    """Load balancers may check whether the server is up, and learn nothing else."""
    answer = anonymous.get(server.url + "/health")
    assert (answer.status_code, answer.text) == (200, "OK")


def test_every_user_gets_in(server: Any, anonymous: Any) -> None:
    """Each user can log in with their password."""
    for user in server["mlflow_users"]:
        password = user.get("password", "second-secret-word")
        answer = anonymous.get(server.url + "/version", auth=(user["name"], password))
        assert (answer.status_code, answer.text) == (200, server["mlflow_version"]), user["name"]


@pytest.mark.parametrize("change", [lambda n, p: (n, p + "x"), lambda n, p: (n + "x", p), lambda n, p: (n, "")])
def test_wrong_logins_stay_out(server: Any, anonymous: Any, change: Any) -> None:
    """A wrong name or password is refused, also right after a correct login was cached."""
    assert anonymous.get(server.url + "/version", auth=server.login).status_code == 200
    assert anonymous.get(server.url + "/version", auth=change(*server.login)).status_code == 401


def test_token_is_the_same_login_in_other_words(server: Any, anonymous: Any) -> None:
    """MLFLOW_TRACKING_TOKEN works as base64 of name:password, and only if that is right."""
    token = base64.b64encode(":".join(server.login).encode()).decode()
    url = server.url + "/version"
    assert anonymous.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert anonymous.get(url, headers={"Authorization": f"Bearer {token[:-6]}"}).status_code == 401
    assert anonymous.get(url, headers={"Authorization": "Bearer"}).status_code == 401


def test_plain_http_is_redirected_to_the_public_url(server: Any, anonymous: Any) -> None:
    """Plain HTTP only redirects to the public URL, whatever the client sent."""
    address = urlsplit(server.url).hostname
    port = server["mlflow_proxy_http_port"]
    answer = anonymous.get(f"http://{address}:{port}/a?b=c", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (308, server.origin + "/a?b=c")
    with pytest.raises(requests.ConnectionError):
        anonymous.get(f"http://{address}:{port}/", headers={"Host": "evil.example"})


@pytest.mark.parametrize("name", ["evil.example", "localhost", "127.0.0.1:5000"])
def test_other_names_are_refused(server: Any, http: Any, name: str) -> None:
    """A request for another name is misdirected, even with a correct login."""
    assert http.get(server.url + "/version", headers={"Host": name}).status_code == 421


def test_other_origins_cannot_change_anything(server: Any, http: Any) -> None:
    """A page of another site cannot use a browser's login to write."""
    url = server.url + "/ajax-api/2.0/mlflow/experiments/create"
    body = {"name": "from another site"}
    assert http.post(url, json=body, headers={"Origin": "https://evil.example"}).status_code == 403
    assert http.post(url, json={}, headers={"Origin": server.origin}).status_code == 400


def test_browser_headers(server: Any, http: Any) -> None:
    """Each answer forbids framing by all but the named sites, sniffing and plain HTTP, exactly once."""
    raw = http.get(server.url + "/").raw.headers
    assert raw.getlist("Strict-Transport-Security") == ["max-age=31536000"]
    assert raw.getlist("X-Content-Type-Options") == ["nosniff"]
    sites = server["mlflow_proxy_frame_ancestors"]
    assert raw.getlist("Content-Security-Policy") == [" ".join(["frame-ancestors 'self'", *sites])]
    assert raw.getlist("X-Frame-Options") == ([] if sites else ["SAMEORIGIN"])
    assert raw["Server"] == "nginx"


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_tls_versions(server: Any, version: ssl.TLSVersion, accepted: bool) -> None:
    """TLS 1.2 and 1.3 are accepted, older versions are not."""
    context = ssl.create_default_context(cafile=server.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    address = urlsplit(server.url)
    where = (address.hostname, address.port or 443)

    def handshake() -> str | None:
        with (
            socket.create_connection(where, timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=address.hostname) as secure,
        ):
            return secure.version()

    if accepted:
        assert handshake() == version.name.replace("_", ".")
    else:
        with pytest.raises(ssl.SSLError):
            handshake()


def test_clients_that_verify_need_the_right_ca(server: Any, anonymous: Any) -> None:
    """Without the CA's certificate a verifying client refuses the server."""
    with pytest.raises(requests.exceptions.SSLError):
        anonymous.get(server.url + "/health", verify=True)


def test_remote_assistant_stays_closed(server: Any, http: Any) -> None:
    """MLflow's assistant runs commands on the server; no client counts as local, whatever it sends."""
    url = server.url + "/ajax-api/3.0/mlflow/assistant/message"
    answer = http.post(url, json={"message": "hi"}, headers={"X-Forwarded-For": "127.0.0.1"})
    assert answer.status_code == 403


def test_slow_clients_do_not_block_others(server: Any, http: Any) -> None:
    """With more unfinished requests than MLflow has threads, others are still answered."""
    address = urlsplit(server.url)
    context = ssl.create_default_context(cafile=server.ca)
    login = base64.b64encode(":".join(server.login).encode()).decode()
    head = (
        f"POST {address.path}/api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Basic {login}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    with ExitStack() as stack:
        for _ in range(80):
            plain = stack.enter_context(socket.create_connection((address.hostname, address.port or 443), timeout=30))
            secure = stack.enter_context(context.wrap_socket(plain, server_hostname=address.hostname))
            secure.sendall(head.encode())
        for _ in range(10):
            answer = http.post(server.url + "/api/2.0/mlflow/experiments/search", json={"max_results": 1}, timeout=30)
            assert answer.ok
