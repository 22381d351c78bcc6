"""Look at a pooled connection's socket instead of asking the server.

MLflow has SQLAlchemy ask ``SELECT 1`` whenever a connection leaves the pool, so
that one that PostgreSQL has closed meets nobody. That question costs a good
part of a small request. PostgreSQL says goodbye, or its socket ends, and both
make an idle connection readable: then SQLAlchemy replaces it, as before.
"""

from __future__ import annotations

import select
from typing import Any


class PingError(RuntimeError):
    """SQLAlchemy no longer asks through the method that we replace."""


def alive(_dialect: Any, connection: Any) -> bool:
    """Whether an idle connection has heard nothing from its server.

    Args:
        connection: psycopg2's.
    """
    if connection.closed:
        return False
    ready = select.poll()
    ready.register(connection.fileno(), select.POLLIN)
    return not ready.poll(0)


def apply() -> None:
    """Let SQLAlchemy look instead of asking.

    Raises:
        PingError: the method is gone.
    """
    from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

    if not hasattr(PGDialect_psycopg2, "do_ping"):
        raise PingError("PGDialect_psycopg2.do_ping is gone: adapt or remove mlflow_host.ping")
    PGDialect_psycopg2.do_ping = alive
