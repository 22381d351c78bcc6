"""MLflow's use of PostgreSQL: connections, sessions, and our statements."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_host.patches.speed import metrics, new_runs, ping, prepared, sessions


class Connection:
    """The attributes of psycopg2's connection."""

    def __init__(self, end: socket.socket) -> None:
        self.closed = 0
        self.fileno = end.fileno


def test_a_connection_with_unread_data_is_not_used() -> None:
    """A final message, a closed socket, or one that we have closed: the pool creates a new one."""
    ours, servers = socket.socketpair()
    connection = Connection(ours)
    assert ping.alive(None, connection)
    servers.send(b"terminating connection due to administrator command")
    assert not ping.alive(None, connection)
    ours.recv(100)
    assert ping.alive(None, connection)
    servers.close()
    assert not ping.alive(None, connection)
    connection.closed = 1
    ours.close()
    assert not ping.alive(None, connection)


def test_the_last_commit_marks_nothing() -> None:
    """The session is set before it; other commits, and failed sessions, are as before."""
    marked = []

    @contextmanager
    def make(read_only: bool = True) -> Iterator[Any]:
        session = SimpleNamespace(expire_on_commit=True, read_only=read_only)
        try:
            yield session
        finally:
            marked.append(session.expire_on_commit)

    with sessions.without_expiry(make)(read_only=False) as session:
        assert session.expire_on_commit
        assert not session.read_only
    with pytest.raises(KeyError), sessions.without_expiry(make)():
        raise KeyError
    assert marked == [False, True]


class Store:
    """A stand-in for MLflow's, which must not be called here."""

    db_type = "postgresql"


class OtherStore(Store):
    """One with further conditions, as that of workspaces."""


def test_other_stores_use_mlflows_own_code() -> None:
    """So do other databases, and cases that MLflow's own code handles."""

    def original(_self: Any, *given: Any) -> Any:
        return given

    log = metrics.in_one_statement(original, Store, None)
    create = new_runs.in_one_insert(original, Store, [], None)
    lite = Store()
    lite.db_type = "sqlite"
    assert log(OtherStore(), "run", ["metric"]) == ("run", ["metric"])
    assert log(lite, "run", ["metric"]) == ("run", ["metric"])
    assert log(Store(), "run", []) == ("run", [])
    assert create(OtherStore(), "1", "someone") == ("1", "someone")
    assert create(lite, "1", "someone") == ("1", "someone")
    for wrong in ("", "x", " 1", "1e3", "\u0663", str(2**31)):
        assert create(Store(), wrong, "someone") == (wrong, "someone")


class Refusal(Exception):
    """The driver's error as SQLAlchemy wraps it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.orig = SimpleNamespace(pgcode=code)


class Database:
    """A stand-in for SQLAlchemy's engine and connection, which records statements."""

    def __init__(self, refuses: str, code: str) -> None:
        self.info: dict[str, bool] = {}
        self.received: list[tuple[Any, ...]] = []
        self.refuses, self.error = refuses, Refusal(code)

    def execution_options(self, isolation_level: str) -> Database:
        """Only autocommit is allowed, because nothing ends a transaction."""
        assert isolation_level == "AUTOCOMMIT"
        return self

    @contextmanager
    def connect(self) -> Iterator[Database]:
        """There is one connection."""
        yield self

    def exec_driver_sql(self, *given: Any) -> Any:
        """Refuse statements with a prefix."""
        self.received.append(given)
        if self.refuses and given[0].startswith(self.refuses):
            raise self.error
        return SimpleNamespace(returns_rows=len(given) > 1, all=lambda: [(6,)])


SUM = ("SELECT {b} + {a} + {b}", {"a": "bigint", "b": "integer"})
PREPARE = ("PREPARE one (bigint, integer) AS SELECT $2 + $1 + $2",)
VALUES = {"a": 1, "b": 2}
EXECUTE = ("EXECUTE one (%(a)s, %(b)s)", VALUES)
IN_FULL = ("SELECT CAST(%(b)s AS integer) + CAST(%(a)s AS bigint) + CAST(%(b)s AS integer)", VALUES)


@pytest.mark.parametrize(
    ("refuses", "code", "received"),
    [
        ("", "", [PREPARE, EXECUTE, EXECUTE]),
        ("EXECUTE", "26000", [PREPARE, EXECUTE, IN_FULL, IN_FULL]),
        ("PREPARE", "42P05", [PREPARE, IN_FULL, IN_FULL]),
    ],
)
def test_a_statement_is_prepared_once_for_each_connection(refuses: str, code: str, received: list[Any]) -> None:
    """If the prepared statement is lost, as with a pooler, it is sent in full."""
    database = Database(refuses, code)
    statement = prepared.Prepared("one", *SUM)
    assert [statement.execute(database, VALUES) for _ in range(2)] == [[(6,)], [(6,)]]
    assert database.received == received


def test_a_failed_statement_is_not_repeated() -> None:
    """It may have been executed."""
    database = Database("EXECUTE", "57P01")
    with pytest.raises(Refusal, match="57P01"):
        prepared.Prepared("one", *SUM).execute(database, VALUES)
    assert database.received == [PREPARE, EXECUTE]
