"""Clients that read slowly fill neither nginx's disk nor MLflow's threads."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

MIB = 1 << 20
REST = "/api/2.0/mlflow"
READERS = 24
# Including deleted files that nginx's processes have open.
HELD = (
    "find /proc/[0-9]*/fd -lname '/var/lib/nginx/*' -exec stat --dereference --format '%d:%i %b' {} + 2>/dev/null"
    " | sort --unique | awk '{ sum += $2 * 512 } END { print sum + 0 }'"
)


def ask(server: Any, method: str, path: str, body: str = "") -> tuple[ssl.SSLSocket, int, str]:
    """A connection that has sent a request and read only the header of the answer; the status, and the body of a refusal."""
    url = urlsplit(server.url)
    plain = socket.create_connection((url.hostname or "", url.port or 443), timeout=60)
    # The kernel's buffers are small.
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    context = ssl.create_default_context(cafile=server.ca)
    connection = context.wrap_socket(plain, server_hostname=url.hostname)
    login = base64.b64encode(":".join(server.login).encode()).decode()
    head = f"{method} {url.path}{path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Basic {login}\r\n"
    connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    output = b""
    while b"\r\n\r\n" not in output:
        output += connection.recv(1)
    status = int(output.split()[1])
    length = re.search(rb"(?i)content-length: ([0-9]+)", output)
    rest = b""
    while status != 200 and length and len(rest) < int(length[1]):
        rest += connection.recv(4096)
    return connection, status, rest.decode()


@pytest.fixture
def artifact(http: Any, root: str, server: Any) -> Iterator[tuple[str, str, str, int]]:
    """An artifact that passes through MLflow because of its name: its request, and its size."""
    address = f"{root}/a%24b"
    assert http.put(address, data=b"x" * 32 * MIB).ok
    yield "GET", address.removeprefix(server.url), "", 32 * MIB
    assert http.delete(address).ok


@pytest.fixture
def search(http: Any, server: Any) -> Iterator[tuple[str, str, str, int]]:
    """A search that finds runs with large tags."""
    api = server.url + REST
    experiment = http.post(f"{api}/experiments/create", json={"name": uuid.uuid4().hex}).json()["experiment_id"]
    for _ in range(12):
        run = http.post(f"{api}/runs/create", json={"experiment_id": experiment}).json()["run"]["info"]["run_id"]
        for name in ("a", "b"):
            tags = [{"key": f"{name}{number}", "value": "v" * 5000} for number in range(100)]
            assert http.post(f"{api}/runs/log-batch", json={"run_id": run, "tags": tags}).ok
    # More than nginx buffers.
    yield "POST", f"{REST}/runs/search", json.dumps({"experiment_ids": [experiment]}), 11 * MIB
    assert http.post(f"{api}/experiments/delete", json={"experiment_id": experiment}).ok


@pytest.mark.parametrize("kind", ["artifact", "search"])
def test_unread_answers_are_limited(
    server: Any, host: Any, http: Any, request: pytest.FixtureRequest, kind: str
) -> None:
    """They are limited for each address; more are refused with a message, other clients are not affected, and the limit ends with the reader."""
    method, path, body, size = request.getfixturevalue(kind)
    with ExitStack() as stack:
        asked = [ask(server, method, path, body) for _ in range(READERS)]
        for connection, _, _ in asked:
            stack.enter_context(connection)
        statuses = [status for _, status, _ in asked]
        # Each is longer than nginx buffers, so it occupies a thread: half of a worker's at most.
        allowed = min(server["mlflow_proxy_unread_answers_mb"] // 8, max(server["mlflow_threads"] // 2, 1))
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= max(allowed - 1, 1)
        # The kernel's buffers may take all of a search, which then occupies nothing.
        assert statuses.count(200) <= allowed or kind == "search"
        for refusal in (output for _, status, output in asked if status == 429):
            assert json.loads(refusal)["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        assert int(host.check_output(HELD)) <= (server["mlflow_proxy_unread_answers_mb"] + READERS) * MIB
        for _ in range(20):
            assert http.get(f"{server.url}{REST}/experiments/get", params={"experiment_id": "0"}, timeout=20).ok
    # nginx notices a moment later that a reader has disconnected.
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        whole = http.request(method, server.url + path, data=body, headers={"Content-Type": "application/json"})
        if whole.ok:
            break
        time.sleep(0.5)
    assert len(whole.content) >= size * 0.9
    assert int(host.check_output(HELD)) < 10 * MIB


@pytest.fixture
def one_answer(server: Any, host: Any) -> Iterator[None]:
    """The limit of an address equals the size of one long answer; how many are possible depends on the threads."""
    file = f"/etc/nginx/{server.unit}/unread.conf"
    host.check_output(f"cp -p {file} /run/test-unread.conf")
    host.check_output(f"sed -i 's/sum > {server['mlflow_proxy_unread_answers_mb'] * MIB} /sum > {8 * MIB} /' {file}")
    host.check_output("nginx -t && systemctl reload nginx && sleep 1")
    yield
    host.check_output(f"cp -p /run/test-unread.conf {file} && systemctl reload nginx")


@pytest.mark.usefixtures("one_answer")
def test_a_request_with_changes_is_not_to_be_repeated(server: Any, http: Any, artifact: Any) -> None:
    """If the answer of such a request is over the limit, the client gets 503 instead of 429."""
    method, path, body, _ = artifact
    api = server.url + REST
    with ask(server, method, path, body)[0]:
        assert http.post(f"{api}/runs/create", json={"experiment_id": "0"}).ok
        tags = [{"key": f"t{number}", "value": "v" * 5000} for number in range(100)]
        answer = http.post(f"{api}/runs/create", json={"experiment_id": "0", "tags": tags})
    assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "was processed" in answer.json()["message"]
