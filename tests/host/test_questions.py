"""Long requests are processed, longer ones are refused with a message, and so are those that nginx cannot parse."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import pytest
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

KIB = 1 << 10
SEARCH = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default&more="
# A URL of each part that answers requests: REST, ASGI, files of the UI, nginx itself.
WAYS = [SEARCH, "/ajax-api/3.0/mlflow/mcp-servers?more=", "/static-files/favicon.ico?more=", "/-/whoami?more="]


def raw(server: Any, head: bytes) -> tuple[int, str, bytes]:
    """Status, type and body of the answer to bytes that no client would send."""
    url = urlsplit(server.url)
    context = ssl.create_default_context(cafile=server.ca)
    with (
        socket.create_connection((url.hostname, url.port or 443), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=url.hostname) as connection,
    ):
        connection.sendall(head)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    top, _, body = received.partition(b"\r\n\r\n")
    lines = top.decode().lower().split("\r\n")
    kind = next((line.partition(": ")[2] for line in lines if line.startswith("content-type")), "")
    return int(lines[0].split()[1]), kind, body


def refused(answer: Any, status: int) -> str:
    """The message of a JSON refusal with this status; it contains no path of the host."""
    assert answer.status_code == status, answer.text[:200]
    assert answer.headers["Content-Type"] == "application/json"
    found = answer.json()
    assert set(found) == {"error_code", "message"}
    assert not any(place in answer.text for place in ("/var/", "/run/", "/etc/", "/srv/", "/opt/"))
    return str(found["message"])


@pytest.mark.parametrize("way", WAYS)
def test_64_kib_of_address_of_head_and_200_fields_are_taken(server: Any, http: Any, way: str) -> None:
    """As a stock server accepts them; with the status of a short request."""
    short = http.get(server.url + way)
    assert short.status_code in (200, 404), short.text[:200]
    path = urlsplit(server.url).path + way
    long = server.url + way + "a" * (64 * KIB - 1 - len(path))
    assert http.get(long).status_code == short.status_code
    assert http.get(server.url + way, headers={"Cookie": "a=" + "b" * 62 * KIB}).status_code == short.status_code
    assert http.get(long, headers={"Cookie": "a=" + "b" * 62 * KIB}).status_code == short.status_code
    fields = {f"X-Field-{number}": "v" for number in range(190)}
    assert http.get(server.url + way, headers=fields).status_code == short.status_code


@pytest.mark.parametrize("way", WAYS)
def test_what_is_longer_is_refused_in_json(server: Any, http: Any, anonymous: Any, way: str) -> None:
    """nginx refuses; nothing reaches MLflow."""
    assert "64 KiB" in refused(http.get(server.url + way + "a" * 80 * KIB), 414)
    assert "64 KiB" in refused(http.get(server.url + way, headers={"Cookie": "a=" + "b" * 80 * KIB}), 431)
    assert "200" in refused(http.get(server.url + way, headers={f"X-{i}": "v" for i in range(220)}), 431)
    assert "log in" in refused(
        anonymous.get(server.url + way, headers={"Authorization": "Basic " + "b" * 20 * KIB}), 401
    )


def test_a_request_that_nginx_cannot_read_is_refused_in_json(server: Any) -> None:
    """Before nginx knows the host name or the URL."""
    host, path = urlsplit(server.url).netloc.encode(), urlsplit(server.url).path.encode()
    get = b"GET " + path + b"/"
    heads = {
        b"GET /\x01 HTTP/1.1\r\nHost: " + host + b"\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n": 421,
        get + b"a" * 80 * KIB + b" HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n": 414,
        get + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\nCookie: " + b"a" * 80 * KIB + b"\r\n\r\n": 431,
        b"POST / HTTP/1.1\r\nHost: " + host + b"\r\nContent-Length: x\r\n\r\n": 400,
    }
    for head, status in heads.items():
        found, kind, body = raw(server, head)
        assert (found, kind) == (status, "application/json"), (head[:60], body[:200])
        assert set(json.loads(body)) == {"error_code", "message"}


def test_browsers_get_a_page_with_the_same_message(server: Any, http: Any) -> None:
    """A browser is a client that prefers HTML."""
    address = server.url + "/-/whoami?" + "a" * 80 * KIB
    for headers in ({"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, {"Accept": "application/json, text/html"}):
        page = http.get(server.url + "/-/nothing", headers=headers)
        assert page.status_code == 404
        assert page.headers["Content-Type"].startswith(
            "text/html" if "xhtml" in headers["Accept"] else "application/json"
        )
        assert "there is nothing at this address" in page.text
    assert "64 KiB" in http.get(address, headers={"Accept": "text/html"}).text


def over_http2(server: Any, address: str, fields: dict[str, str], method: str = "GET") -> tuple[int, str, bytes]:
    """Status, type and body of the answer to one request of the first user. curl sends no head of more than 64 KiB."""
    url = urlsplit(server.url)
    login = base64.b64encode(":".join(server.login).encode()).decode()
    head = {":method": method, ":scheme": "https", ":authority": url.netloc, ":path": url.path + address}
    head |= {"authorization": f"Basic {login}"} | {name.lower(): value for name, value in fields.items()}
    context = ssl.create_default_context(cafile=server.ca)
    context.set_alpn_protocols(["h2"])
    session = H2Connection()
    answered: dict[str, str] = {}
    body = b""
    with (
        socket.create_connection((url.hostname, url.port or 443), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=url.hostname) as connection,
    ):
        session.initiate_connection()
        session.send_headers(1, list(head.items()), end_stream=True)
        connection.sendall(session.data_to_send())
        while received := connection.recv(1 << 16):
            for event in session.receive_data(received):
                if isinstance(event, ResponseReceived):
                    answered = {name.decode(): value.decode() for name, value in event.headers}
                elif isinstance(event, DataReceived):
                    body += event.data
                elif isinstance(event, StreamEnded):
                    return int(answered[":status"]), answered.get("content-type", ""), body
            connection.sendall(session.data_to_send())
    raise ConnectionError(f"it ended without an answer: {answered}")


@pytest.mark.parametrize("way", WAYS)
def test_http2_takes_and_refuses_the_same(server: Any, way: str) -> None:
    """Compressed fields count with their decompressed size."""
    short = over_http2(server, way, {})[0]
    assert short in (200, 404)
    long = way + "a" * (64 * KIB - 1 - len(urlsplit(server.url).path + way))
    assert over_http2(server, long, {})[0] == short
    assert over_http2(server, long, {"Cookie": "a=" + "b" * 62 * KIB})[0] == short
    assert over_http2(server, way, {f"X-Field-{number}": "v" for number in range(190)})[0] == short
    refusals: list[tuple[str, dict[str, str], int]] = [
        (way + "a" * 80 * KIB, {}, 414),
        (way, {"Cookie": "a=" + "b" * 80 * KIB}, 431),
        (way, {f"X-{number}": "v" for number in range(220)}, 431),
    ]
    for address, fields, status in refusals:
        found, kind, body = over_http2(server, address, fields)
        assert (found, kind) == (status, "application/json"), body[:300]
        assert set(json.loads(body)) == {"error_code", "message"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refusals_over_http2_are_the_same(server: Any, method: str) -> None:
    """With pseudo-headers and compressed fields."""
    found, kind, body = over_http2(server, "/-/x", {}, method)
    assert (found, kind) == (404, "application/json")
    assert set(json.loads(body)) == {"error_code", "message"}


def test_a_name_with_control_characters_is_refused_in_json(server: Any, http: Any) -> None:
    """Of an artifact: MLflow or nginx refuses it, with a message."""
    for name in ("a%00b", "a%7Fb", "a%01b"):
        answer = http.put(server.url + f"/api/2.0/mlflow-artifacts/artifacts/0/{name}", data=b"x")
        assert answer.status_code in (200, 400), (name, answer.text[:200])
        assert answer.json() == {} or set(answer.json()) == {"error_code", "message"}
