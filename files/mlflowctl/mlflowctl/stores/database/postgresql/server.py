"""Sessions with PostgreSQL, and the programs that come with it.

root connects through the ident map of the role `postgres`, without a password.
The owner of a table decides which code runs when it is read, so we connect to
MLflow's database, and to every copy of it, as MLflow's role. Only operations on
whole databases are done as the superuser, in a database that MLflow's role
cannot connect to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from mlflowctl.core.errors import ControlError
from mlflowctl.core.process import run

# The superuser, and the only database that it connects to.
ADMIN = "postgres"
# Session settings that the owner of a database or role could otherwise change. System tables take precedence over
# others of the same name, and rows that a policy hides are an error instead of being left out.
SETTINGS = {
    "search_path": "pg_catalog,public,pg_temp",
    "row_security": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
}


@dataclass(frozen=True)
class Settings:
    """A server that is reached by a socket.

    Attributes:
        name: of the live database.
        role: the role that owns it.
        socket_path: directory of PostgreSQL's socket.
        wal_archive: whether pgBackRest keeps every change of the database.
    """

    name: str
    role: str
    socket_path: str
    wal_archive: bool


class Server:
    """One cluster."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @contextmanager
    def connect(self, database: str | None = None, autocommit: bool = True) -> Iterator[psycopg.Connection[Any]]:
        """A connection over the Unix socket, as the role for that database, by default the live one.

        Raises:
            ControlError: the server does not answer, refuses the connection, or closes it.
        """
        name = database or self.settings.name
        try:
            connection = psycopg.connect(
                host=self.settings.socket_path,
                dbname=name,
                user=self.role(name),
                options=_options(),
                autocommit=autocommit,
                connect_timeout=10,
                application_name="mlflowctl",
            )
        except psycopg.OperationalError as error:
            raise ControlError(
                f"cannot connect to PostgreSQL, database {name}: {error}. See: systemctl status 'postgresql@*'"
            ) from error
        try:
            with connection:
                yield connection
        except psycopg.errors.UndefinedTable as error:
            raise ControlError(
                f"tables of MLflow are missing in database {name}: has MLflow ever started on this host?"
            ) from error
        except psycopg.OperationalError as error:
            first, *_ = str(error).splitlines()
            raise ControlError(
                f"PostgreSQL closed the connection to database {name}: {first}. See: journalctl -u 'postgresql@*'"
            ) from error

    def role(self, name: str) -> str:
        """The role for a database: the superuser in :data:`ADMIN` only, otherwise MLflow's role."""
        return ADMIN if name == ADMIN else self.settings.role

    def environment(self) -> dict[str, str]:
        """The environment of PostgreSQL's programs."""
        return {
            "PGHOST": self.settings.socket_path,
            "PGUSER": self.settings.role,
            "PGOPTIONS": _options(),
            "PGAPPNAME": "mlflowctl",
        }

    def major(self) -> int:
        """Major version of the running server."""
        with self.connect(ADMIN) as connection:
            return connection.info.server_version // 10000


def _options() -> str:
    return " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())


def tool_major(tool: str) -> int:
    """Major version of ``pg_dump`` or ``pg_restore`` on the PATH."""
    output = run([tool, "--version"]).stdout
    found = re.search(r"\) (\d+)", output)
    if found is None:
        raise ControlError(f"cannot read the version of {tool} from {output!r}")
    return int(found[1])
