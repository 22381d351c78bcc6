"""Limits of one client's use of MLflow's processes: bodies, queries, and time."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import socket
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from mlflow_host.service import asgi_body, least_rate, query_limits, spans

LIMIT = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    """Deflate without zlib's header."""
    one = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return one.compress(data) + one.flush()


@pytest.mark.parametrize(
    ("coding", "data", "plain"),
    [
        ("gzip", gzip.compress(b"trace"), b"trace"),
        ("x-gzip", gzip.compress(b"tra") + gzip.compress(b"ce"), b"trace"),
        ("gzip", gzip.compress(b"trace") + bytes(20), b"trace"),
        ("gzip", gzip.compress(b""), b""),
        ("deflate", zlib.compress(b"trace"), b"trace"),
        ("deflate", raw_deflate(b"trace"), b"trace"),
        ("gzip", gzip.compress(bytes(LIMIT)), bytes(LIMIT)),
    ],
)
def test_a_compressed_body_is_decompressed(coding: str, data: bytes, plain: bytes) -> None:
    """With each coding that clients use."""
    assert asgi_body.unpack(data, coding, LIMIT) == plain


@pytest.mark.parametrize(
    ("coding", "data", "status"),
    [
        ("gzip", gzip.compress(bytes(LIMIT + 1)), 413),
        ("gzip", gzip.compress(bytes(100 * LIMIT)), 413),
        ("gzip", gzip.compress(bytes(LIMIT // 2)) * 3, 413),
        ("gzip", gzip.compress(b"") * 200, 400),
        ("gzip", gzip.compress(b"trace")[:-3], 400),
        ("gzip", gzip.compress(b"trace") + b"more", 400),
        ("gzip", b"trace", 400),
        ("deflate", zlib.compress(bytes(LIMIT + 1)), 413),
        ("deflate", raw_deflate(bytes(50 * LIMIT)), 413),
        ("deflate", zlib.compress(b"trace") + b"more", 400),
        ("deflate", raw_deflate(b"trace" * 9)[:-2], 400),
    ],
)
def test_a_body_that_is_too_long_or_damaged_is_not_decompressed(coding: str, data: bytes, status: int) -> None:
    """No more than the limit is kept in memory."""
    with pytest.raises(asgi_body.RefusedError) as refused:
        asgi_body.unpack(data, coding, LIMIT)
    assert refused.value.status == status


def ask(headers: dict[str, str], *pieces: bytes, pause: float = 0) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status and body of the answer, and the headers that the application saw. It answers with the body that it reads."""
    seen: list[tuple[bytes, bytes]] = []
    sent: list[Any] = []
    left = list(pieces)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})

    async def receive() -> Any:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(asgi_body.Body(application, LIMIT, 1 << 14)({"type": "http", "headers": raw}, receive, send))
    return sent[0]["status"], sent[1]["body"], seen


def test_mlflow_sees_a_plain_body() -> None:
    """Without a coding and with its length, for any transfer."""
    data = gzip.compress(b"trace" * 100)
    status, body, headers = ask({"content-encoding": "GZIP", "transfer-encoding": "chunked"}, data[:9], data[9:])
    assert (status, body) == (200, b"trace" * 100)
    assert headers == [(b"content-length", b"500")]
    assert ask({"content-encoding": "identity", "content-length": "5"}, b"trace")[:2] == (200, b"trace")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-encoding": "gzip", "content-length": "9"}, gzip.compress(bytes(9 * LIMIT)), 413),
        ({"content-length": str(LIMIT + 1)}, b"", 413),
        ({"transfer-encoding": "chunked"}, bytes(LIMIT + 1), 413),
        ({"content-encoding": "gzip, gzip", "content-length": "9"}, b"", 415),
        ({"content-encoding": "br", "content-length": "9"}, b"", 415),
        ({"content-encoding": "gzip", "content-length": "9"}, b"123456789", 400),
    ],
)
def test_a_refusal_is_json(headers: dict[str, str], body: bytes, status: int) -> None:
    """As MLflow's clients show it, and MLflow is not called."""
    answered, answer, seen = ask(headers, body)
    assert (answered, seen) == (status, [])
    assert json.loads(answer)["error_code"]
    assert status != 413 or "1 MiB" in json.loads(answer)["message"]


def test_a_slow_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is for all pieces together, not for each."""
    monkeypatch.setattr(asgi_body, "PATIENCE", 0.2)
    assert ask({"transfer-encoding": "chunked"}, *[b"x"] * 100, pause=0.05)[0] == 408


def test_too_many_large_bodies_are_answered_with_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 429, since MLflow has not processed them: clients repeat that for any request."""
    monkeypatch.setattr(asgi_body, "PATIENCE", 0.2)
    monkeypatch.setattr(asgi_body, "FULL_BODIES", 0)
    sent: list[Any] = []

    async def application(*_given: Any) -> None:
        pytest.fail("MLflow was asked")

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(answer: Any) -> None:
        sent.append(answer)

    scope = {"type": "http", "path": "/v1/traces", "headers": [(b"transfer-encoding", b"chunked")]}
    asyncio.run(asgi_body.Body(application, 1 << 20, 1 << 14)(scope, receive, send))
    assert sent[0]["status"] == 429
    assert (b"retry-after", b"5") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["error_code"] == "REQUEST_LIMIT_EXCEEDED"


def message(number: int, content: bytes) -> bytes:
    """A field of protobuf that has a length."""
    length, left = b"", len(content)
    while left > 127:
        length, left = length + bytes([left & 127 | 128]), left >> 7
    return bytes([number << 3 | 2]) + length + bytes([left]) + content


def of_spans(content: bytes) -> bytes:
    """A request with these spans."""
    return message(1, message(2, content))


SPAN = message(
    2, message(1, b"1" * 16) + message(5, b"name") + message(9, message(1, b"key") + message(2, message(1, b"v"))) * 10
)
VALUES = message(2, message(9, message(2, message(5, message(1, b"") * 600_000))))


@pytest.mark.parametrize(
    "body",
    [
        of_spans(SPAN * 5000),
        b"",
        b"\x0a",
        b"\xff" * 1000,
        os.urandom(10_000),
        of_spans(message(2, message(5, b"n" * 9_000_000))),
    ],
)
def test_spans_are_read(body: bytes) -> None:
    """Thousands at once, and large ones; MLflow refuses invalid ones."""
    spans.check_protobuf(body)


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * 600_000,
        of_spans(b"\x12\x00" * 30_000),
        of_spans(VALUES),
        of_spans(SPAN * 20_001),
        b"\x08\x01" * 600_000,
    ],
)
def test_more_parts_than_a_worker_reads_are_refused(body: bytes) -> None:
    """At any depth."""
    with pytest.raises(spans.TooManyError):
        spans.check_protobuf(body)


def test_parts_are_counted_in_json_too() -> None:
    """Before it is parsed."""
    spans.check_json(b'{"resourceSpans":[' + b'{"a":"' + b"text, " * 100_000 + b'"},' * 1000 + b"]}")
    for part in b"{},", b"[],", b"1,":
        with pytest.raises(spans.TooManyError):
            spans.check_json(part * 2_000_000)


IDS = ",".join(f"'{number:032x}'" for number in range(4990))


@pytest.mark.parametrize(
    "question",
    [
        {"filter": f"attributes.run_id IN ({IDS})", "experiment_ids": ["0"], "order_by": ["metrics.`a b` DESC"]},
        {"filter": "params.a LIKE '%" + "a" * 8000 + "%'"},
        {"filter": "name = '" + "a" * 20_000 + "'"},
        {"filter": " AND ".join(f"metrics.a{number} > 1" for number in range(50))},
        {"metrics": [{"key": "a", "value": 1}] * 1000, "tags": [{"key": "a", "value": "(" * 100_000}]},
        {"experiment_ids": [str(number) for number in range(10_000)]},
        {"query": "query a($d: In!) {mlflowGetRun(input: $d) {run {info {" + "runId " * 300 + "}}}}", "variables": {}},
        None,
        7,
        ["a"],
    ],
)
def test_the_clients_requests_are_covered(question: Any) -> None:
    """Thousands of run IDs, too."""
    query_limits.check(question)


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ({"filter": "(" * 100_000}, "filter"),
        ({"filter": "a" * 500_000}, "a word of more than"),
        ({"filter": "tags.a LIKE '%" + "ä" * 50_001 + "%'"}, "a word of more than"),
        ({"filter_string": ";" * 100_000}, "filter_string"),
        ({"filterString": "a " * 100_000}, "filterString"),
        ({"filter": "--'\n" + "," * 100_000 + "'"}, "filter"),
        ({"filter": " AND ".join(f"metrics.a{number}>1" for number in range(51))}, "comparisons"),
        ({"filter": " ".join(f"tags.a{number} iLiKe 'a'" for number in range(51))}, "comparisons"),
        ({"order_by": ["a"] * 51}, "order_by"),
        ({"orderBy": ["a"] * 51}, "orderBy"),
        ({"order_by": ["metrics.`" + "a" * 9000 + "`"]}, "order_by"),
        ({"experiment_ids": ["1"] * 10_001}, "experiment_ids"),
        ({"filter": "a;" * 60}, "filter"),
        ({"trace": {"tags": {str(number): "a" for number in range(1001)}}}, "tags"),
        ({"query": "{" + "a " * 9000 + "}"}, "query"),
        ({"query": '{a(orderBy:["' + '","' * 99 + '"])}'}, "query"),
        ({"query": '{a(filter:"' + "b \\u003e 1 AND " * 120 + '")}'}, "query"),
        ({"variables": {"data": {"orderBy": ["a"] * 99}}}, "orderBy"),
        (json.loads("[" * 200 + "]" * 200), "levels"),
    ],
)
def test_queries_that_would_block_a_worker_are_refused(question: Any, named: str) -> None:
    """The message names the field."""
    with pytest.raises(query_limits.CostlyError, match=named):
        query_limits.check(question)


def put(path: str, body: bytes, query: str = "", **environ: Any) -> tuple[str, bytes]:
    """Status and body of an answer; the application's is what it read."""
    seen: list[str] = []

    def application(environ: Any, _start: Any) -> list[bytes]:
        return [environ["wsgi.input"].read()]

    given = {"PATH_INFO": path, "CONTENT_LENGTH": str(len(body)), "QUERY_STRING": query, "wsgi.input": io.BytesIO(body)}
    asked = query_limits.QueryLimits(application, LIMIT)
    answer = b"".join(asked(given | environ, lambda status, _headers: seen.append(status)))  # type: ignore[arg-type]
    return "".join(seen), answer


def test_limits_are_checked_before_mlflow() -> None:
    """In bodies and URLs, for any form of JSON; MLflow refuses what is not JSON."""
    search, many = "/api/2.0/mlflow/runs/search", json.dumps({"order_by": ["a"] * 99}).encode()
    assert put(search, b'{"filter": ""}') == ("", b'{"filter": ""}')
    assert put(search, b"no JSON") == ("", b"no JSON")
    for body in many, json.dumps(many.decode()).encode(), many.replace(b"order", b"\\u006frder"):
        status, answer = put(search, body)
        assert status == "400 Bad Request"
        assert "order_by" in json.loads(answer)["message"]
    assert put("/api/2.0/mlflow/experiments/search", b"", "&".join(["order_by=a"] * 99))[0] == "400 Bad Request"
    assert put(search, b"[" * 200_000)[0] == "400 Bad Request"
    assert (
        put("/api/2.0/mlflow/logged-models/search", json.dumps({"datasets": [{}] * 101}).encode())[0]
        == "400 Bad Request"
    )
    assert put(search, b" " * (LIMIT + 1))[0].startswith("413")
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert put(search, b" " * (LIMIT + 1), **chunked)[0].startswith("413")
    assert put(search, b"{}", **chunked) == ("", b"{}")
    artifact = b"[" * 2 * LIMIT
    assert put("/api/2.0/mlflow-artifacts/artifacts/0/search", artifact) == ("", artifact)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Our side of a connection, and the peer's."""
    monkeypatch.setattr(least_rate, "PATIENCE", 0.3)
    ours, theirs = socket.socketpair()
    with least_rate.Connection(ours, 1 << 20) as connection, theirs:
        yield connection, theirs


def test_an_honest_peer_gets_everything(pair: Any, tmp_path: Path) -> None:
    """At any length, from memory and from a file."""
    connection, peer = pair
    data = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(data)
    got = bytearray()

    def read() -> None:
        while len(got) < 2 * len(data) - 10:
            got.extend(peer.recv(1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    connection.sendall(data)
    with (tmp_path / "file").open("rb") as file:
        assert connection.sendfile(file, offset=10) == len(data) - 10
    reader.join()
    assert got == data + data[10:]
    peer.sendall(b"question")
    assert connection.recv(100) == b"question"


@pytest.mark.parametrize("way", ["send", "file", "receive"])
def test_a_slow_peer_loses_its_connection(pair: Any, way: str, tmp_path: Path) -> None:
    """Even one that makes progress all the time: the limit is for all waits together."""
    connection, peer = pair
    (tmp_path / "file").write_bytes(bytes(3_000_000))
    stop = threading.Event()

    def move() -> None:
        while not stop.wait(0.05):
            peer.sendall(b"x")
            if way != "receive":
                peer.recv(100)

    mover = threading.Thread(target=move)
    mover.start()
    began = time.monotonic()
    try:
        with pytest.raises(ConnectionResetError):
            if way == "send":
                connection.sendall(bytes(3_000_000))
            elif way == "file":
                with (tmp_path / "file").open("rb") as file:
                    connection.sendfile(file)
            else:
                while connection.recv(100):
                    pass
    finally:
        stop.set()
        mover.join()
    assert time.monotonic() - began < 3
