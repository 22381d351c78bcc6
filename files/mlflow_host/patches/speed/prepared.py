"""A prepared statement in autocommit mode, which PostgreSQL parses and plans once for each connection.

Planning the statement that logs a metric takes PostgreSQL as long as running it, and
SQLAlchemy's session takes Python as long as the rest of the request. psycopg2 has no
call for preparing a statement, so SQL is used.

A pooler between MLflow and PostgreSQL may use another connection for each
transaction, without the prepared statement. Then the full statement is sent.

Source: PostgreSQL, PREPARE and EXECUTE; SQLAlchemy, ``Connection.info`` (kept as long as the driver's connection)
and "Understanding the DBAPI-Level Autocommit Isolation Level".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

# PostgreSQL: invalid_sql_statement_name, duplicate_prepared_statement.
NOT_KEPT = ("26000", "42P05")


class Prepared:
    """A prepared statement.

    Args:
        name: unique on these connections.
        statement: SQL with ``{name}`` for each parameter.
        types: PostgreSQL's type of each parameter.
    """

    def __init__(self, name: str, statement: str, types: Mapping[str, str]) -> None:
        places = {parameter: f"${number}" for number, parameter in enumerate(types, 1)}
        casts = {parameter: f"CAST(%({parameter})s AS {kind})" for parameter, kind in types.items()}
        self.name = name
        self.prepare = f"PREPARE {name} ({', '.join(types.values())}) AS {statement.format_map(places)}"
        self.call = f"EXECUTE {name} ({', '.join(f'%({parameter})s' for parameter in types)})"
        self.in_full = statement.format_map(casts)
        self.kept = True

    def execute(self, engine: Any, values: Mapping[str, Any]) -> Sequence[Any]:
        """Run the statement and return its rows.

        Args:
            engine: of SQLAlchemy, for PostgreSQL with psycopg2.
            values: a value for each parameter.

        Raises:
            SQLAlchemyError: PostgreSQL refuses the values, or is unavailable.
            ValueError: psycopg2 refuses the values.
        """
        with _autocommit(engine).connect() as connection:
            if self.kept:
                try:
                    if self.name not in connection.info:
                        connection.exec_driver_sql(self.prepare)
                        connection.info[self.name] = True
                    return _rows(connection.exec_driver_sql(self.call, values))
                except Exception as error:
                    if getattr(getattr(error, "orig", None), "pgcode", None) not in NOT_KEPT:
                        raise
                    self.kept = False
            return _rows(connection.exec_driver_sql(self.in_full, values))


@contextmanager
def mlflow_errors(store: Any) -> Iterator[None]:
    """Convert errors inside to those that MLflow's sessions raise.

    Raises:
        MlflowException: for any error.
    """
    try:
        yield
    except Exception:
        with store.ManagedSessionMaker(read_only=False):
            raise


@cache
def _autocommit(engine: Any) -> Any:
    """The engine in autocommit mode: no BEGIN and COMMIT around a statement."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _rows(result: Any) -> Sequence[Any]:
    return result.all() if result.returns_rows else []
