"""While the database or the artifact volume is unavailable, every request is answered soon, with the reason."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.harness.artifacts import API
from tests.harness.ready import wait_until_ready

# Not a measurement, but a limit for hangs.
HANGS = 20
GRAPHQL = {
    "operationName": "Q",
    "query": "query Q($input: MlflowGetExperimentInput!) { mlflowGetExperiment(input: $input) { experiment { name } } }",
    "variables": {"input": {"experimentId": "0"}},
}
ASKED: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "runs": ("POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"]}),
    "a new run": ("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"}),
    "models": ("GET", "/api/2.0/mlflow/registered-models/search", None),
    "GraphQL": ("POST", "/graphql", GRAPHQL),
    "ASGI": ("GET", "/gateway/mlflow/v1/models", None),
}


def answers(server: Any, http: Any) -> dict[str, requests.Response]:
    """The answer to each kind of request."""
    return {
        name: http.request(method, server.url + path, json=body, timeout=HANGS)
        for name, (method, path, body) in ASKED.items()
    }


def check_refusal(answer: requests.Response, words: str) -> None:
    """A refusal after which clients retry, in a sentence without paths of the host."""
    assert answer.status_code in (429, 503), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    message = answer.json()["message"]
    assert words in message
    assert "/" not in message
    assert "Traceback" not in message


def kill_workers(server: Any, host: Any) -> None:
    """Of both kinds: their successors have not used the database yet."""
    for unit in (server.unit, f"{server.unit}-asgi"):
        parent = host.check_output(f"systemctl show --property=MainPID --value {unit}.service")
        killed = host.check_output(f"pgrep --parent {parent}").split()
        host.check_output(f"kill -9 {' '.join(killed)}")
        # A request that a killed worker had accepted fails, and is not passed to the next one.
        while {*killed} & {*host.run(f"pgrep --parent {parent}").stdout.split()}:
            time.sleep(0.1)


@pytest.fixture
def _no_database(server: Any, host: Any, http: Any) -> Iterator[None]:
    """PostgreSQL is stopped, after each kind of request was answered."""
    for name, answer in answers(server, http).items():
        assert answer.ok, f"{name}: {answer.text}"
    cluster = host.check_output("ls /etc/postgresql")
    host.check_output(f"systemctl stop postgresql@{cluster}-main")
    try:
        yield
    finally:
        host.check_output(f"systemctl start postgresql@{cluster}-main")
        # systemd waits a while before it restarts a unit whose start has failed.
        host.check_output(f"systemctl reset-failed; systemctl restart {server.unit}.service")
        wait_until_ready(http, server)


@pytest.mark.usefixtures("_no_database")
def test_without_a_database(server: Any, host: Any, http: Any) -> None:
    """Workers that have used it, workers that have not, and a service that cannot start."""
    for answer in answers(server, http).values():
        check_refusal(answer, "the database")
    kill_workers(server, host)
    for answer in answers(server, http).values():
        check_refusal(answer, "the database")
    host.run(f"systemctl restart --no-block {server.unit}.service {server.unit}-asgi.service")
    for _ in range(3):
        for answer in answers(server, http).values():
            check_refusal(answer, "the database")
    assert http.get(f"{server.url}/version", timeout=HANGS).status_code in (200, 429)


def test_it_is_back_by_itself(server: Any, host: Any, http: Any) -> None:
    """MLflow recovers by itself: a client that retries is served."""
    cluster = host.check_output("ls /etc/postgresql")
    host.check_output(f"systemctl stop postgresql@{cluster}-main")
    try:
        check_refusal(answers(server, http)["runs"], "the database")
    finally:
        host.check_output(f"systemctl start postgresql@{cluster}-main")
    wait_until_ready(http, server)
    for name, answer in answers(server, http).items():
        assert answer.ok, f"{name}: {answer.text}"


@pytest.fixture
def artifact(server: Any, host: Any, http: Any) -> Iterator[str]:
    """The URL of a file in the store, while an empty directory replaces the volume."""
    address = f"{server.url}{API}/0/{uuid.uuid4().hex}/artifacts/file"
    assert http.put(address, data=b"content").ok
    volume = server["mlflow_volume_path"]
    aside = f"{volume}/.volume-id {volume}/store"
    host.check_output(f"mkdir {volume}/away && mv {aside} {volume}/away")
    try:
        yield address
    finally:
        host.check_output(f"mv {volume}/away/.volume-id {volume}/away/store {volume} && rmdir {volume}/away")
        host.check_output(f"systemctl reset-failed; systemctl restart {server.unit}.service")
        wait_until_ready(http, server)
        assert http.get(address).content == b"content"


def test_without_the_volume(server: Any, host: Any, http: Any, artifact: str) -> None:
    """Artifacts are not reported as missing, other requests work; a service that cannot start gives the reason."""
    wait = f"timeout 30 sh -c 'until [ -e /run/{server.unit}-service/volume-is-missing ]; do sleep 0.2; done'"
    host.check_output(wait)
    for address in (artifact, artifact.removesuffix("/file"), f"{artifact}-2"):
        check_refusal(http.get(address, timeout=HANGS), "the artifact volume is not there")
    check_refusal(http.put(f"{artifact}-3", data=b"x", timeout=HANGS), "the artifact volume is not there")
    assert answers(server, http)["runs"].ok
    # It fails, and systemd keeps trying.
    assert host.run(f"systemctl restart {server.unit}.service").rc != 0
    for _ in range(3):
        check_refusal(http.get(artifact, timeout=HANGS), "the artifact volume is not there")
        check_refusal(answers(server, http)["runs"], "the artifact volume is not there")
