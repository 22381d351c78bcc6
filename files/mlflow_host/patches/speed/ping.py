"""Check a pooled connection's socket instead of querying the server.

MLflow makes SQLAlchemy run ``SELECT 1`` whenever a connection is taken from the pool,
so that a connection that PostgreSQL has closed is not used. That query is a good part
of a small request. When PostgreSQL closes a connection it becomes readable: then
SQLAlchemy replaces it, as before.
"""

from __future__ import annotations

import select
from typing import Any

from mlflow_host.core.known import SPEED, Patch

PATCH = Patch(
    name="ping",
    kind=SPEED,
    why="checks a pooled connection's socket instead of querying the server",
    test="tests/unit/mlflow_host/patches/test_statements.py",
    replaces=("sqlalchemy.dialects.postgresql.psycopg2:PGDialect_psycopg2.do_ping",),
    known={"3.17.2": "03ddcbc467e9133985fa5ab5dd9d6a9c0189d9803dacad6f587ed0c1a668160d"},
    services=("rest", "asgi"),
)


def alive(_dialect: Any, connection: Any) -> bool:
    """Whether an idle connection has received nothing from its server.

    Args:
        connection: psycopg2's.
    """
    if connection.closed:
        return False
    ready = select.poll()
    ready.register(connection.fileno(), select.POLLIN)
    return not ready.poll(0)


def apply() -> None:
    """Replace SQLAlchemy's ping."""
    from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

    PGDialect_psycopg2.do_ping = alive
