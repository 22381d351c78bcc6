"""Requests while the database is unavailable."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_host.service import asgi_backend, backend

PATH = "/api/2.0/mlflow/runs/create"
DOWN = 'connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" failed: No such file or directory'


class Database:
    """The state for a probe, and the number of probes."""

    def __init__(self) -> None:
        self.there, self.asked, self.now = True, 0, 0.0
        self.backend = backend.Backend(self.probe, lambda: self.now)

    def probe(self) -> None:
        """Probe it."""
        self.asked += 1
        if not self.there:
            raise ConnectionError(DOWN)

    def fail_statement(self, text: str = DOWN, ping: bool = False) -> None:
        """A statement finds no database."""
        self.backend.failed(
            SimpleNamespace(is_disconnect=False, is_pre_ping=ping, original_exception=ConnectionError(text))
        )


@pytest.fixture
def database() -> Database:
    """An available database."""
    return Database()


def ask(known: backend.Backend, application: Any, path: str = PATH) -> tuple[str, dict[str, str], bytes]:
    """The answer to a client."""
    answered: list[Any] = []
    body = backend.WithBackend(application, known)({"PATH_INFO": path}, lambda *given: answered.append(given))  # type: ignore[arg-type]
    return answered[0][0], dict(answered[0][1]), b"".join(body)


def failing(database: Database, worked: int, status: str = "500 INTERNAL SERVER ERROR") -> Any:
    """An application whose database becomes unavailable after a number of statements."""

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        for _ in range(worked):
            database.backend.worked()
        database.fail_statement()
        start_response(status, [("Content-Type", "text/html"), ("X-Subject-Run", "abc")])
        return [DOWN.encode()]

    return application


def fine(_environ: Any, start_response: Any) -> list[bytes]:
    """An application that answers."""
    start_response("200 OK", [])
    return [b"fine"]


def test_the_database_is_probed_only_without_a_recent_success(database: Database) -> None:
    """Once for all requests within a second."""
    for _ in range(3):
        assert ask(database.backend, fine)[2] == b"fine"
    assert database.asked == 1
    database.now = 0.9
    database.backend.worked()
    database.now = 1.8
    assert ask(database.backend, fine)[0] == "200 OK"
    assert database.asked == 1
    database.now = 3
    assert ask(database.backend, fine)[0] == "200 OK"
    assert database.asked == 2


def test_mlflow_is_not_called_without_a_database(database: Database) -> None:
    """It would retry for minutes."""
    database.there = False
    status, headers, body = ask(database.backend, lambda *_: pytest.fail("was asked"))
    assert (status[:3], headers["Retry-After"]) == ("429", "5")
    assert json.loads(body)["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert "database" in json.loads(body)["message"]
    database.there = True
    assert ask(database.backend, fine)[0] == "200 OK"


@pytest.mark.parametrize(("worked", "status"), [(0, "429"), (2, "503")])
@pytest.mark.parametrize("path", [PATH, "/graphql"])
def test_answers_without_a_database_do_not_name_its_path(
    database: Database, worked: int, status: str, path: str
) -> None:
    """429 if nothing was processed, else 503; the audit headers stay. GraphQL would answer 200."""
    application = failing(database, worked, "200 OK" if path == "/graphql" else "500 INTERNAL SERVER ERROR")
    found, headers, body = ask(database.backend, application, path)
    assert (found[:3], headers["Retry-After"], headers["X-Subject-Run"]) == (status, "5", "abc")
    assert b"/var/run" not in body
    assert headers["Content-Length"] == str(len(body))


def test_other_errors_are_mlflows(database: Database) -> None:
    """Also after a connection that had been idle for too long was replaced."""

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        database.fail_statement(ping=True)
        database.fail_statement("a statement is wrong")
        start_response("500 INTERNAL SERVER ERROR", [])
        return [b"mlflow's"]

    assert ask(database.backend, application)[2] == b"mlflow's"


@pytest.mark.parametrize(
    ("path", "needs"),
    [
        ("/health", False),
        ("/static-files/index.js", False),
        ("/api/2.0/mlflow-artifacts/artifacts/0/a/artifacts/b", False),
        (PATH, True),
        ("/graphql", True),
        ("/get-artifact", True),
        ("/api/2.0/mlflow/artifacts/list", True),
    ],
)
def test_only_what_needs_it_waits_for_it(path: str, needs: bool) -> None:
    """Health and files do not."""
    assert backend.needs_database(path) is needs


@pytest.mark.parametrize(("there", "worked", "status"), [(False, 0, 429), (True, 0, 429), (True, 1, 503)])
def test_the_asgi_routes_answer_the_same(database: Database, there: bool, worked: int, status: int) -> None:
    """Including errors that Starlette raises again."""
    database.there = there
    sent: list[Any] = []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        for _ in range(worked):
            database.backend.worked()
        database.fail_statement()
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": DOWN.encode()})
        raise ConnectionError(DOWN)

    async def send(message: Any) -> None:
        sent.append(message)

    middleware: Any = asgi_backend.WithBackend(application, database.backend)
    asyncio.run(middleware({"type": "http", "path": "/v1/traces"}, None, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == status
    assert (b"retry-after", b"5") in sent[0]["headers"]
    assert DOWN.encode() not in sent[1]["body"]
