"""PostgreSQL: one snapshot for dump and manifest, verified dumps, databases that are swapped by renaming.

root connects through the ident map of the role `postgres`, without a password.
The owner of a table decides which code runs when it is read, so we connect to
MLflow's database, and to every copy of it, as MLflow's role. Only operations on
whole databases are done as the superuser, in a database that MLflow's role
cannot connect to.

Sources: PostgreSQL manual, "Snapshot Synchronization Functions", pg_dump
``--snapshot``; why a dump is read back: ``pg_restore --list`` accepts a
truncated archive, reading all of it does not.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from mlflowctl.core.config import Config
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
SMALLEST_DUMP = 4096  # bytes; MLflow's empty schema alone is larger


@dataclass(frozen=True)
class Dump:
    """A dump that was verified by reading it back.

    Attributes:
        path: the file.
        size: bytes.
        sha256: of the file.
    """

    path: Path
    size: int
    sha256: str


@contextmanager
def connect(config: Config, database: str | None = None, autocommit: bool = True) -> Iterator[psycopg.Connection[Any]]:
    """A connection over the Unix socket, as the role for that database.

    Raises:
        ControlError: the server does not answer, refuses the connection, or closes it.
    """
    name = database or config.database.name
    try:
        connection = psycopg.connect(
            host=config.database.socket_path,
            dbname=name,
            user=role(config, name),
            options=_options(),
            autocommit=autocommit,
            connect_timeout=10,
            application_name="mlflowctl",
        )
    except psycopg.OperationalError as error:
        raise ControlError(
            f"cannot connect to database {name}: {error}. See: systemctl status 'postgresql@*'"
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


@contextmanager
def snapshot(config: Config) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A read-only transaction and the name under which others can share its snapshot."""
    with connect(config, autocommit=False) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        (name,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
        yield connection, name


def role(config: Config, name: str) -> str:
    """The role for a database: the superuser in :data:`ADMIN` only, otherwise MLflow's role."""
    return ADMIN if name == ADMIN else config.database.role


def _options() -> str:
    return " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())


def _environment(config: Config) -> dict[str, str]:
    return {
        "PGHOST": config.database.socket_path,
        "PGUSER": config.database.role,
        "PGOPTIONS": _options(),
        "PGAPPNAME": "mlflowctl",
    }


def tool_major(tool: str) -> int:
    """Major version of ``pg_dump`` or ``pg_restore`` on the PATH."""
    output = run([tool, "--version"]).stdout
    found = re.search(r"\) (\d+)", output)
    if found is None:
        raise ControlError(f"cannot read the version of {tool} from {output!r}")
    return int(found[1])


def server_major(config: Config) -> int:
    """Major version of the running server."""
    with connect(config, ADMIN) as connection:
        return connection.info.server_version // 10000


def dump(config: Config, snapshot_name: str, target: Path) -> Dump:
    """Dump the database as of a snapshot; the file gets its final name only after it was read back.

    Args:
        config: the instance.
        snapshot_name: from :func:`snapshot`, whose transaction is still open.
        target: the file to write.

    Raises:
        ControlError: the dump failed, is too small or cannot be read back.
    """
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    run(
        [
            "pg_dump",
            "--format=custom",
            f"--snapshot={snapshot_name}",
            "--lock-wait-timeout=60s",
            f"--file={partial}",
            config.database.name,
        ],
        _environment(config),
    )
    size = partial.stat().st_size
    if size < SMALLEST_DUMP:
        raise ControlError(
            f"the dump has only {size} bytes: the database {config.database.name} holds no MLflow tables"
        )
    read_back(partial)
    digest = sha256(partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.rename(target)
    return Dump(target, size, digest)


def read_back(path: Path) -> None:
    """Read a whole archive and discard the result.

    Raises:
        ControlError: it is truncated or damaged.
    """
    try:
        run(["pg_restore", "--file=/dev/null", str(path)])
    except ControlError as error:
        raise ControlError(f"the dump {path} cannot be read back: {error}") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tables(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Exact number of rows of every table of the schema ``public``."""
    names = [
        row[0]
        for row in connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
    ]
    counts = {}
    for name in names:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("public", name))).fetchone()
        counts[name] = int(row[0]) if row else 0
    return counts


def revision(connection: psycopg.Connection[Any]) -> str:
    """MLflow's schema revision; empty if the database has none."""
    found = connection.execute("SELECT to_regclass('public.alembic_version')").fetchone()
    if not found or found[0] is None:
        return ""
    row = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return str(row[0]) if row else ""


def exists(config: Config, name: str) -> bool:
    """Whether a database of that name exists."""
    with connect(config, ADMIN) as connection:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def create(config: Config, name: str) -> None:
    """Create an empty database owned by our role, with the settings of the Ansible role."""
    with connect(config, ADMIN) as connection:
        connection.execute(
            sql.SQL(
                "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' TEMPLATE template0"
            ).format(sql.Identifier(name), sql.Identifier(config.database.role))
        )
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


def drop(config: Config, name: str) -> None:
    """Drop a database even if there are connections; never the live one."""
    if name == config.database.name:
        raise ControlError(f"{name} is the live database: it is never dropped")
    with connect(config, ADMIN) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def rename(config: Config, old: str, new: str) -> None:
    """Rename a database after ending every session in it."""
    with connect(config, ADMIN) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (old,))
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new)))


def restore(config: Config, archive: Path, name: str) -> None:
    """Restore an archive into an empty database completely, and gather statistics.

    The connection is made as MLflow's role: the archive could reset a role that was only set.

    Raises:
        ControlError: the archive is damaged or any statement failed.
    """
    jobs = str(min(4, os.cpu_count() or 1))
    run(
        [
            "pg_restore",
            "--exit-on-error",
            "--no-owner",
            f"--jobs={jobs}",
            f"--dbname={name}",
            str(archive),
        ],
        _environment(config),
    )
    with connect(config, name) as connection:
        connection.execute("ANALYZE")
