"""PostgreSQL as a backend store: one snapshot for dump and manifest, verified dumps, databases swapped by renaming.

Sources: PostgreSQL manual, "Snapshot Synchronization Functions", pg_dump
``--snapshot``; why a dump is read back: ``pg_restore --list`` accepts a
truncated archive, reading all of it does not.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql

from mlflowctl.core import config as configuration
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.process import run
from mlflowctl.stores.database.base import Database, Dump, Reader, Snapshot, Space, Taken, sha256
from mlflowctl.stores.database.postgresql.archive import WalArchive
from mlflowctl.stores.database.postgresql.server import ADMIN, Server, Settings, tool_major
from mlflowctl.stores.database.postgresql.tables import Tables

SMALLEST_DUMP = 4096  # bytes; MLflow's empty schema alone is larger
# Where Debian keeps all clusters.
CLUSTERS = Path("/var/lib/postgresql")


class SharedSnapshot(Tables, Snapshot):
    """A read-only transaction whose snapshot pg_dump shares."""

    def __init__(self, connection: psycopg.Connection[Any], server: Server, name: str) -> None:
        super().__init__(connection)
        self._server = server
        self._name = name

    def taken(self) -> Taken:
        """The database's time, and the position in its log."""
        row = self._connection.execute("SELECT now(), pg_current_wal_lsn()::text").fetchone() or ("", "")
        return Taken(str(row[0]), str(row[1]), self._connection.info.server_version // 10000)

    def dump(self, target: Path) -> Dump:
        """Dump with ``pg_dump``, and read the archive back."""
        partial = target.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        name = self._server.settings.name
        run(
            [
                "pg_dump",
                "--format=custom",
                f"--snapshot={self._name}",
                "--lock-wait-timeout=60s",
                f"--file={partial}",
                name,
            ],
            self._server.environment(),
        )
        size = partial.stat().st_size
        if size < SMALLEST_DUMP:
            raise ControlError(f"the dump has only {size} bytes: the database {name} holds no MLflow tables")
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


class PostgreSQL(Database):
    """A database in a cluster on this host."""

    tools = ("pg_dump", "pg_restore")
    directories = (CLUSTERS,)

    def __init__(self, settings: Settings, instance: Instance) -> None:
        self.name = settings.name
        self.server = Server(settings)
        self._instance = instance
        self.archive = (
            WalArchive(self.server, instance.state_path, lambda other: PostgreSQL(other, instance))
            if settings.wal_archive
            else None
        )

    @classmethod
    def of(cls, config: Config) -> Self:
        """The store of the configuration."""
        return cls(configuration.part(Settings, config.database.settings, config.database.where), config.instance)

    def check(self) -> None:
        """Connect as MLflow's role."""
        with self.server.connect() as connection:
            connection.execute("SELECT 1")

    def check_tools(self) -> None:
        """Refuse an older ``pg_dump`` than the server."""
        server, client = self.server.major(), tool_major("pg_dump")
        if client < server:
            raise ControlError(
                f"pg_dump has version {client} and PostgreSQL {server}: install postgresql-client-{server}"
            )

    def check_version(self, version: int) -> None:
        """Refuse a dump of a newer major version of PostgreSQL than this host's: an older one cannot read it."""
        here = min(self.server.major(), tool_major("pg_restore"))
        if here < version:
            raise Refused(
                f"the point was taken with PostgreSQL {version}, and this host has {here}, which cannot read "
                f"it: restore it on a host with PostgreSQL {version} or newer (Debian 13 has 17)"
            )

    def space(self) -> Space:
        """Free space of the cluster's file system, and the size of the live database."""
        with self.server.connect(ADMIN) as connection:
            (where, size), *_ = connection.execute(
                "SELECT current_setting('data_directory'), pg_database_size(%s::name)", (self.name,)
            ).fetchall()
        return Space(where, shutil.disk_usage(where).free, size)

    @contextmanager
    def reader(self, name: str | None = None) -> Iterator[Reader]:
        """A connection without a transaction, as MLflow's role."""
        with self.server.connect(name) as connection:
            yield Tables(connection)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """A read-only transaction."""
        with self.server.connect(autocommit=False) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            (name,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            yield SharedSnapshot(connection, self.server, name)

    def content(self) -> int:
        """Rows of the live database."""
        if not self.exists(self.name):
            return 0
        with self.reader() as reader:
            return reader.content() if reader.revision() else 0

    def scratch(self, purpose: str) -> str:
        """Named after the live database."""
        return f"{self.name}_{purpose}"

    def exists(self, name: str) -> bool:
        """Whether a database of that name exists."""
        with self.server.connect(ADMIN) as connection:
            return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None

    def create(self, name: str) -> None:
        """Create an empty database owned by our role, with the settings of the Ansible role."""
        with self.server.connect(ADMIN) as connection:
            connection.execute(
                sql.SQL(
                    "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
                    " TEMPLATE template0"
                ).format(sql.Identifier(name), sql.Identifier(self.server.settings.role))
            )
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))

    def drop(self, name: str) -> None:
        """Drop a database even if there are connections; never the live one."""
        if name == self.name:
            raise ControlError(f"{name} is the live database: it is never dropped")
        with self.server.connect(ADMIN) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def rename(self, old: str, new: str) -> None:
        """Rename a database after ending every session in it."""
        with self.server.connect(ADMIN) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (old,))
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
            )

    def restore(self, dump: Path, name: str) -> None:
        """Restore into a new database, and gather statistics.

        The connection is made as MLflow's role: the archive could reset a role that was only set.
        """
        self.create(name)
        jobs = str(min(4, os.cpu_count() or 1))
        run(
            [
                "pg_restore",
                "--exit-on-error",
                "--no-owner",
                f"--jobs={jobs}",
                f"--dbname={name}",
                str(dump),
            ],
            self.server.environment(),
        )
        with self.server.connect(name) as connection:
            connection.execute("ANALYZE")

    def environment(self, name: str, directory: Path) -> dict[str, str]:
        """A service file like the live one."""
        live = (self._instance.config_path / "pg_service.conf").read_text().splitlines()
        lines = [f"dbname={name}" if line.startswith("dbname=") else line for line in live]
        path = directory / "pg_service.conf"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o644)  # it holds no secret
        return {"PGSERVICEFILE": str(path)}

    def swap(self, copy: str, suffix: str) -> None:
        """Two renames."""
        self.rename(self.name, self._aside(suffix))
        self.rename(copy, self.name)

    def swap_back(self, copy: str, suffix: str) -> None:
        """The same backwards, as far as they were done."""
        old = self._aside(suffix)
        if self.exists(old):
            if self.exists(self.name):
                self.rename(self.name, copy)
            self.rename(old, self.name)

    def _aside(self, suffix: str) -> str:
        return f"{self.name}_before_{suffix}"

    def set_aside(self) -> set[str]:
        """By the names of databases."""
        pattern = re.compile(re.escape(self.name) + r"_before_(\d+)")
        with self.server.connect(ADMIN) as connection:
            names = connection.execute("SELECT datname FROM pg_database").fetchall()
        return {match[1] for (name,) in names if (match := pattern.fullmatch(name))}

    def size_aside(self, suffix: str) -> int | None:
        """Bytes on disk."""
        with self.server.connect(ADMIN) as connection:
            row = connection.execute(
                "SELECT pg_database_size(oid) FROM pg_database WHERE datname = %s", (self._aside(suffix),)
            ).fetchone()
        return None if row is None else int(row[0])

    def drop_aside(self, suffix: str) -> None:
        """Drop it."""
        self.drop(self._aside(suffix))
