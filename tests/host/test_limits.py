"""Limits of a request: size, rate and origin. It is refused before it delays others."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.harness.artifacts import API

MIB = 1 << 20
SEARCH = "/api/2.0/mlflow/runs/search"


def pieces(size: int) -> Iterator[bytes]:
    """A body without a length."""
    for _ in range(size // 65536):
        yield b" " * 65536


def connect(server: Any, head: str, login: tuple[str, str] | None = None) -> ssl.SSLSocket:
    """A connection that has sent the header of a request, ``{path}`` and ``{host}`` filled in."""
    url = urlsplit(server.url)
    context = ssl.create_default_context(cafile=server.ca)
    plain = socket.create_connection((url.hostname or "", url.port or 443), timeout=30)
    secure = context.wrap_socket(plain, server_hostname=url.hostname)
    words = base64.b64encode(":".join(login or server.login).encode()).decode()
    head = head.replace("{path}", url.path)
    secure.sendall(f"{head}\r\nHost: {url.netloc}\r\nAuthorization: Basic {words}\r\n".encode())
    return secure


@pytest.mark.parametrize("size", [1, 3 * MIB])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_without_a_login_nothing_has_a_body(server: Any, anonymous: Any, method: str, size: int) -> None:
    """Only /health needs no login: with a body it is refused, too, whether its length is given or not."""
    for body in (b" " * size, pieces(max(size, 65536))):
        answer = anonymous.request(method, server.url + "/health", data=body)
        assert (answer.status_code, answer.json()["error_code"]) == (413, "REQUEST_LIMIT_EXCEEDED")


def test_ten_gigabytes_are_refused_before_one_byte_is_kept(server: Any, host: Any) -> None:
    """Content-Length is checked at once; there is no file in nginx's directory for bodies."""
    for head in ("POST {path}/health", f"POST {{path}}{SEARCH}", "GET {path}/version", "POST {path}/v1/traces"):
        with connect(server, f"{head} HTTP/1.1") as connection:
            connection.sendall(b"Content-Length: 10737418240\r\n\r\n" + b" " * MIB)
            assert b" 413 " in connection.recv(4096)
            assert host.check_output("find /var/lib/nginx/body -type f -size +0") == ""


@pytest.mark.parametrize(
    ("question", "size"),
    [
        (("POST", SEARCH), 1 * MIB + 1),
        (("POST", "/ajax-api/2.0/mlflow/experiments/search"), 5 * MIB),
        (("POST", "/api/3.0/mlflow/traces/search"), 2 * MIB),
        (("GET", f"{API}/0/none"), 2 * MIB),
        (("DELETE", f"{API}/0/none"), 2 * MIB),
        (("POST", "/api/2.0/mlflow/runs/log-batch"), 2 * MIB),
        (("POST", "/graphql"), 2 * MIB),
        (("POST", "/api/2.0/mlflow/runs/log-inputs"), 33 * MIB),
        (("POST", "/v1/traces"), 33 * MIB),
    ],
)
@pytest.mark.parametrize("output", [True, False], ids=["length", "chunked"])
def test_too_much_is_refused_in_words(
    server: Any, http: Any, question: tuple[str, str], size: int, output: bool
) -> None:
    """413 in JSON, which MLflow's client shows, whether the length is given or counted."""
    body = b" " * size if output else pieces(size + 65536)
    method, path = question
    answer = http.request(method, server.url + path, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "MiB" in answer.json()["message"]


def test_what_fits_is_served(server: Any, http: Any, root: str) -> None:
    """A request of just 1 MiB, a list of datasets of more, and an artifact of any size and name."""
    question = b'{"experiment_ids":["0"]}'
    headers = {"Content-Type": "application/json"}
    assert http.post(server.url + SEARCH, data=question.ljust(MIB), headers=headers).ok
    assert http.post(server.url + SEARCH, data=(piece for piece in [question]), headers=headers).ok
    answer = http.post(server.url + "/api/2.0/mlflow/runs/log-inputs", data=b"{}".ljust(2 * MIB), headers=headers)
    assert answer.status_code == 400
    for name in ("plain", "odd!", "small"):
        content = name.encode() * (100 if name == "small" else MIB)
        assert http.put(f"{root}/{name}", data=content).ok
        assert http.get(f"{root}/{name}").content == content


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("x/", 400),
        ("n" * 256, 400),
        ("%C3%A9" * 128, 400),
        (f"d/{'n' * 256}/x", 400),
        ("n" * 255, 201),
        ("%21" + "n" * 254, 200),
    ],
)
def test_names_that_no_file_can_have_are_refused(http: Any, root: str, name: str, status: int) -> None:
    """In JSON, and not as a server error."""
    answer = http.put(f"{root}/{name}", data=b"x")
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


SLOW = [
    f"GET {{path}}{API}/0/nofile",
    f"PUT {{path}}{API}/0/slow/plain",
    f"PUT {{path}}{API}/0/slow/odd!",
    f"POST {{path}}{SEARCH}",
    "POST {path}/v1/traces",
    "POST {path}/ajax-api/2.0/mlflow/upload-artifact",
]


def test_slow_senders_do_not_block_others_and_are_disconnected(server: Any, http: Any) -> None:
    """Two hundred bodies arrive byte by byte: others are served meanwhile, and the slow ones are disconnected."""
    address = f"{server.url}/api/2.0/mlflow/runs"
    run = http.post(f"{address}/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
    metric = {"run_id": run, "key": "m", "value": 1, "timestamp": 1}
    with ExitStack() as stack:
        slow = []
        for number in range(204):
            connection = stack.enter_context(connect(server, f"{SLOW[number % len(SLOW)]} HTTP/1.1"))
            connection.sendall(b"Content-Length: 100000\r\n\r\n")
            slow.append(connection)
        ended: set[ssl.SSLSocket] = set()
        deadline = time.monotonic() + 90
        while len(ended) < len(slow) and time.monotonic() < deadline:
            assert http.post(f"{address}/log-metric", json=metric, timeout=20).ok
            assert http.get(server.url + "/ready", timeout=20).ok
            for connection in slow:
                if connection in ended:
                    continue
                try:
                    connection.sendall(b"x")
                    connection.setblocking(False)
                    if connection.recv(4096) == b"":
                        ended.add(connection)
                except (ssl.SSLWantReadError, BlockingIOError):
                    pass
                except OSError:
                    ended.add(connection)
                finally:
                    connection.settimeout(30)
            time.sleep(0.5)
        assert len(ended) == len(slow)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "https://{host}.evil.example"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/graphql"),
        ("POST", "/gateway/any/mlflow/invocations"),
        ("POST", "/v1/traces"),
        ("POST", SEARCH),
        ("PUT", f"{API}/0/foreign"),
        ("DELETE", f"{API}/0/foreign"),
        ("PATCH", "/ajax-api/2.0/mlflow/registered-models/update"),
        ("OPTIONS", SEARCH),
    ],
)
def test_pages_of_other_sites_change_nothing(server: Any, http: Any, origin: str, method: str, path: str) -> None:
    """With a browser's stored credentials: 403 on every route, and no CORS header that allows reading."""
    headers = {"Origin": origin.format(host=urlsplit(server.url).hostname), "Access-Control-Request-Method": "POST"}
    answer = http.request(method, server.url + path, headers=headers, data=b"{}")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    seen = http.get(server.url + "/version", headers=headers)
    assert seen.ok
    for found in (answer, seen):
        assert [name for name in found.headers if name.startswith("Access-Control-")] == []


def test_the_servers_own_pages_work(server: Any, http: Any, root: str) -> None:
    """With the public origin, and with none as programs send it."""
    for headers in ({"Origin": server.origin}, {}):
        assert http.post(server.url + SEARCH, json={"experiment_ids": ["0"]}, headers=headers).ok
        assert http.put(f"{root}/own", data=b"x", headers=headers).ok


@pytest.mark.parametrize(
    "target",
    ["/x/..#", "/#", "/health#/../version", "/x/%2E%2e", "/a/./b", "/a/%2e/b", "/api//2.0/mlflow", "/api/%2f2.0"],
)
def test_an_address_that_can_mean_two_things_is_refused(server: Any, target: str) -> None:
    """nginx decides on the same URL that MLflow sees."""
    with connect(server, f"GET {{path}}{target} HTTP/1.1") as connection:
        connection.sendall(b"Connection: close\r\n\r\n")
        assert b" 400 " in connection.recv(4096)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR "])
def test_the_word_before_a_token_is_any_case(server: Any, anonymous: Any, scheme: str) -> None:
    """As RFC 9110 says."""
    token = base64.b64encode(":".join(server.login).encode()).decode()
    assert anonymous.get(server.url + "/version", headers={"Authorization": f"{scheme} {token}"}).ok


def test_guesses_from_many_addresses_do_not_keep_the_owner_waiting(server: Any, host: Any, http: Any) -> None:
    """Forty addresses with eight concurrent guesses each: a cached login, and one from a known network, are not delayed."""
    url = urlsplit(server.url)
    name, _ = server.login
    stop = f"/run/stop-guessing-{uuid.uuid4().hex}"
    assert http.get(server.url + "/version").ok
    # nginx keeps cached logins, and loses the known networks.
    host.check_output("systemctl restart nginx")
    assert http.get(server.url + "/version").ok
    script = f"""
import base64, http.client, os, ssl, threading, time, uuid
context = ssl._create_unverified_context()
end = time.monotonic() + 120
codes = {{}}
def guess(address):
    while time.monotonic() < end and not os.path.exists("{stop}"):
        try:
            c = http.client.HTTPSConnection("127.0.0.1", {url.port or 443}, context=context, source_address=(address, 0), timeout=60)
            login = base64.b64encode(f"{name}:{{uuid.uuid4()}}".encode()).decode()
            c.request("GET", "{url.path}/version", headers={{"Host": "{url.netloc}", "Authorization": "Basic " + login}})
            code = c.getresponse().status
            codes[code] = codes.get(code, 0) + 1
            c.close()
        except OSError:
            time.sleep(0.1)
threads = [threading.Thread(target=guess, args=(f"127.0.1.{{n % 40 + 1}}",), daemon=True) for n in range(320)]
[t.start() for t in threads]
[t.join(120) for t in threads]
print(sorted(codes))
"""
    with ThreadPoolExecutor(1) as background:
        guessing = background.submit(host.run, f"python3 - <<'PYTHON'\n{script}\nPYTHON")
        try:
            time.sleep(4)
            for _ in range(8):
                # A cached login, and another one of the same name that must be checked.
                assert http.get(server.url + "/version", timeout=60).ok
                fresh = requests.get(
                    server.url + "/version",
                    headers={"Authorization": f"Basic  {base64.b64encode(':'.join(server.login).encode()).decode()}"},
                    verify=server.ca,
                    timeout=60,
                )
                assert fresh.ok
                # The guesses are still running.
                assert not guessing.done()
        finally:
            host.check_output(f"touch {stop}")
        assert set(json.loads(guessing.result().stdout)) <= {401, 429}
    host.check_output(f"rm {stop}")


def test_too_many_guesses_are_refused_with_retry_after(server: Any) -> None:
    """With 429 and after a second: a correct client tries again, and a guessing one cannot overload nginx."""
    name = uuid.uuid4().hex

    def guess(_: int) -> tuple[float, requests.Response]:
        began = time.monotonic()
        answer = requests.get(server.url + "/version", auth=(name, uuid.uuid4().hex), verify=server.ca, timeout=60)
        return time.monotonic() - began, answer

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(guess, range(60)))
    assert {answer.status_code for _, answer in answers} == {401, 429}
    for seconds, answer in answers:
        if answer.status_code == 429:
            assert seconds >= 1
            assert answer.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
            assert int(answer.headers["Retry-After"]) > 0


def test_no_password_lies_in_what_is_remembered(server: Any, host: Any, http: Any) -> None:
    """Neither in plain text nor encoded as in a header; and MLflow's account and nginx's workers cannot read hashes."""
    assert http.get(server.url + "/version").ok
    name, password = server.login
    words = base64.b64encode(f"{name}:{password}".encode()).decode()
    places = f"/run/{server.unit}-proxy /run/{server.unit}-login"
    assert host.run(f"grep --recursive --text --files-with-matches -e {words} -e {password} {places}").stdout == ""
    for user in (server["mlflow_user"], "www-data"):
        assert host.run(f"runuser -u {user} -- cat /var/lib/{server.unit}-proxy/logins/passwords/{name}").rc != 0
        assert host.run(f"cat /var/lib/{server.unit}-proxy/logins/passwords/{name}").rc == 0
    refused = f"import socket; socket.socket(socket.AF_UNIX).connect('/run/{server.unit}-login/check.sock')"
    for user in (server["mlflow_user"], "mallory"):
        assert "PermissionError" in host.run(f'runuser -u {user} -- python3 -c "{refused}"').stderr
