"""MLflow's workers are replaced after a number of requests, without a failed request."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness.uploads import half_an_upload

CLIENTS = 6
MANY = 10_000


@pytest.fixture
def kind() -> str:
    """The suffix of the unit's name."""
    return ""


@pytest.fixture
def workers(server: Any, host: Any, http: Any, kind: str) -> Iterator[Any]:
    """PIDs of the workers: one at a time, which is replaced after a hundred requests."""
    unit = f"{server.unit}{kind}.service"
    directory = f"/run/systemd/system/{unit}.d"
    more = '[Service]\\nEnvironment="GUNICORN_CMD_ARGS=--max-requests=100 --max-requests-jitter=0 --workers=1"\\n'
    host.check_output(f"mkdir --parents {directory} && printf '{more}' > {directory}/workers.conf")
    host.check_output(f"systemctl daemon-reload && systemctl restart {unit}")
    # Requests wait in the socket until there is a worker.
    assert create_run(server, http)
    assert send_no_spans(server, http)
    main = host.check_output(f"systemctl show -p MainPID --value {unit}")
    yield lambda: set(host.check_output(f"pgrep --parent {main}").split())
    host.check_output(f"rm {directory}/workers.conf && systemctl daemon-reload")
    host.check_output(f"systemctl restart {unit}")


def create_run(server: Any, http: Any) -> bool:
    """Whether a request to the REST API was answered. No part repeats a request that creates something."""
    return bool(http.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).status_code == 200)


def send_no_spans(server: Any, http: Any) -> bool:
    """Whether one to an ASGI route was answered: without spans it is refused, by MLflow."""
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": "0"}
    return "no spans found" in http.post(server.url + "/v1/traces", headers=headers).text


def ask_until(server: Any, http: Any, enough: Any, answered: Any = create_run) -> None:
    """Let clients send requests until a condition holds; each must be answered."""
    stop = threading.Event()

    def ask(_: int) -> None:
        for _ in range(MANY):
            if stop.is_set():
                return
            assert answered(server, http)
        raise AssertionError("no end in sight")

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask, client) for client in range(CLIENTS)]
        try:
            # Each check takes processor time from the clients.
            while not enough() and not any(one.done() for one in asking):
                time.sleep(0.5)
        finally:
            stop.set()
        for one in asking:
            one.result()


@pytest.mark.parametrize(("kind", "answered"), [("", create_run), ("-asgi", send_no_spans)])
def test_no_request_fails(server: Any, http: Any, workers: Any, answered: Any) -> None:
    """Ten workers come and go under load; each request is answered."""
    seen = workers()
    first = set(seen)

    def enough() -> bool:
        seen.update(workers())
        return len(seen) >= len(first) + 10

    ask_until(server, http, enough, answered)
    # Those of uvicorn wait for nginx to close what is idle.
    for _ in range(60):
        if not workers() & first:
            break
        time.sleep(0.5)
    assert not workers() & first


def test_an_upload_holds_no_worker(server: Any, http: Any, workers: Any) -> None:
    """nginx buffers an upload: a worker can be replaced meanwhile, and its successor gets the complete upload."""
    # MLflow stores names with this character, not nginx.
    address = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/{uuid.uuid4().hex}/artifacts/a%24b"
    first = workers()
    with half_an_upload(server, http, address) as connection:
        ask_until(server, http, lambda: not workers() & first)
        connection.sendall(b"x" * 5_000_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert len(http.get(address).content) == 10_000_000
    assert json.loads(http.get(server.url + "/ready").text)["ready"]
