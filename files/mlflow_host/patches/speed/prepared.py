"""A statement that is a transaction of its own, which PostgreSQL reads and plans once for each connection.

Planning what logs a metric takes PostgreSQL as long as doing it, and SQLAlchemy's
session takes Python as long as the rest of the request. psycopg2 has no call for
preparing a statement, so it is said in SQL.

A pooler between MLflow and PostgreSQL may give each transaction another
connection, which knows nothing of what was prepared. Then it is said in full.

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
        name: of no other statement on these connections.
        statement: SQL with a ``{name}`` for each parameter.
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
        """The rows that the statement gives for these values, by parameter.

        Args:
            engine: SQLAlchemy's, to PostgreSQL by psycopg2.
            values: a value for each parameter.

        Raises:
            SQLAlchemyError: PostgreSQL takes no such values, or is away.
            ValueError: psycopg2 takes no such values.
        """
        with _each_alone(engine).connect() as connection:
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
def in_mlflows_words(store: Any) -> Iterator[None]:
    """Let what goes wrong inside be raised as MLflow's sessions raise it.

    Raises:
        MlflowException: for whatever was raised.
    """
    try:
        yield
    except Exception:
        with store.ManagedSessionMaker(read_only=False):
            raise


@cache
def _each_alone(engine: Any) -> Any:
    """The engine, with each statement a transaction of its own: nothing is said before and after it."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _rows(result: Any) -> Sequence[Any]:
    return result.all() if result.returns_rows else []
