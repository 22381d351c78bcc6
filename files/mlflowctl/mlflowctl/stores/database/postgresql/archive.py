"""The WAL archive: every change of the database, kept by pgBackRest, for restores to any point in time.

A recovery point sets a named restore point in the log. A restore replays the
archive up to a time in a scratch cluster beside the live one, and dumps that:
from there on it is a restore like any other.

Sources: pgBackRest user guide, "Point-in-Time Recovery", and command
reference (``backup``, ``info``, ``restore``); PostgreSQL manual, "Recovery
Target" and ``pg_stat_archiver``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.process import run
from mlflowctl.core.progress import Log
from mlflowctl.stores.database.base import Archive, BaseBackup, Database, Target
from mlflowctl.stores.database.postgresql.server import ADMIN, Server, Settings

STANZA = "mlflow"
# The server's system user, which also runs pgBackRest and a scratch cluster.
AS_POSTGRES: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"}
# Seconds until a finished segment must have reached the archive.
ARCHIVED_SECONDS = 60
FULL_AFTER = timedelta(days=6, hours=12)
# No network, no archive, no fsync: it is used for one dump only. `jit` would need memory that is writable and
# executable.
SCRATCH = """
listen_addresses = ''
unix_socket_directories = '{root}'
unix_socket_permissions = 0700
hba_file = '{root}/scratch_hba.conf'
ident_file = '{root}/scratch_ident.conf'
archive_mode = off
hot_standby = off
fsync = off
jit = off
max_connections = 20
"""


def arguments(wanted: Target) -> list[str]:
    """A target as arguments of ``pgbackrest restore``."""
    kind, value = ("name", wanted.name) if wanted.name else ("time", f"{wanted.moment:%Y-%m-%d %H:%M:%S.%f%z}")
    return [f"--type={kind}", f"--target={value}", "--target-action=promote"]


class WalArchive(Archive):
    """The archive of one cluster.

    Args:
        server: the live cluster.
        state_path: where a scratch cluster is restored to.
        database: makes the store of another cluster.
    """

    def __init__(self, server: Server, state_path: Path, database: Callable[[Settings], Database]) -> None:
        self._server = server
        self._state_path = state_path
        self._database = database

    def restore_point(self, point: str) -> str:
        """Name of a recovery point's restore point in the log."""
        return f"mlflow-{point}"

    def name_point(self, point: str) -> None:
        """Set a recovery point's restore point in the log."""
        with self._server.connect(ADMIN) as connection:
            connection.execute("SELECT pg_create_restore_point(%s)", (self.restore_point(point),))

    def flush(self) -> None:
        """Finish the current segment and wait until it is in the archive.

        Raises:
            ControlError: it does not reach the archive in time.
        """
        with self._server.connect(ADMIN) as connection:
            # A replay ends at the first commit after its target time, so there must be one.
            connection.execute("SELECT txid_current()")
            row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
            deadline = time.monotonic() + ARCHIVED_SECONDS
            while time.monotonic() < deadline:
                # Names of one timeline sort by age; the first eight digits are the timeline.
                done = connection.execute(
                    "SELECT last_archived_wal >= %s FROM pg_stat_archiver WHERE last_archived_wal !~ 'history'", row
                ).fetchone()
                if done and done[0]:
                    return
                time.sleep(0.2)
        raise ControlError(
            f"segment {row[0]} has not reached the WAL archive within {ARCHIVED_SECONDS} s: "
            "PostgreSQL's log says why; it keeps what is not archived. "
            "See: pgbackrest --stanza=mlflow check, as postgres"
        )

    def problem(self) -> str:
        """Why archiving fails, according to PostgreSQL; empty if it works."""
        try:
            with self._server.connect(ADMIN) as connection:
                row = connection.execute(
                    "SELECT last_failed_wal, last_failed_time::text FROM pg_stat_archiver"
                    " WHERE last_failed_time > coalesce(last_archived_time, '-infinity')"
                ).fetchone()
        except ControlError as error:
            return str(error)
        return (
            f"the WAL archive does not accept {row[0]} (last tried {row[1]}): the disk fills up until it does"
            if row
            else ""
        )

    def base_backup(self, log: Log) -> BaseBackup:
        """In full once a week, otherwise the changes."""
        full = [found for found in _backups() if found["type"] == "full"]
        age = time.time() - full[-1]["timestamp"]["stop"] if full else FULL_AFTER.total_seconds()
        kind = "full" if age >= FULL_AFTER.total_seconds() else "incr"
        log(f"taking a base backup of the database ({kind})")
        _pgbackrest("backup", f"--type={kind}")
        last = _backups()[-1]
        return BaseBackup(last["label"], last["type"], last["info"]["repository"]["delta"])

    @contextmanager
    def replayed(self, wanted: Target, log: Log) -> Iterator[Database]:
        """A scratch cluster with the database as of a target; yields it.

        Raises:
            Refused: the archive does not reach that time.
            ControlError: it cannot be replayed.
        """
        base, live = _base(wanted), self._server.settings
        root = self._state_path / "replay"
        shutil.rmtree(root, ignore_errors=True)
        need = base["info"]["size"]
        if shutil.disk_usage(self._state_path).free < need * 1.2:
            raise ControlError(
                f"{self._state_path} has no space for the {need >> 20} MiB of a replayed database: free some space"
            )
        root.mkdir(mode=0o700)
        shutil.chown(root, "postgres", "postgres")
        try:
            log(f"replaying the WAL archive up to {wanted.text}, from base backup {base['label']}")
            _pgbackrest("restore", f"--pg1-path={root}", f"--set={base['label']}", *arguments(wanted))
            (root / "scratch.conf").write_text(SCRATCH.format(root=root))
            (root / "scratch_hba.conf").write_text(
                f"local postgres {ADMIN} peer map=control\nlocal {live.name} {live.role} peer map=control\n"
            )
            (root / "scratch_ident.conf").write_text(f"control root {ADMIN}\ncontrol root {live.role}\n")
            for name in ("scratch.conf", "scratch_hba.conf", "scratch_ident.conf"):
                shutil.chown(root / name, "postgres", "postgres")
            with _server(root, self._server.major(), wanted):
                yield self._database(replace(live, socket_path=str(root)))
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _pgbackrest(command: str, *arguments: str) -> str:
    return str(run(["pgbackrest", f"--stanza={STANZA}", *arguments, command], **AS_POSTGRES).stdout)


def _backups() -> list[dict[str, Any]]:
    """The base backups, oldest first."""
    found: list[dict[str, Any]] = json.loads(_pgbackrest("info", "--output=json"))[0]["backup"]
    return found


def _base(wanted: Target) -> dict[str, Any]:
    """The newest base backup that ended before a target.

    Raises:
        Refused: there is none.
    """
    before = [found for found in _backups() if found["timestamp"]["stop"] < wanted.moment.timestamp()]
    if not before:
        raise Refused(
            f"the WAL archive has no base backup from before {wanted.text}: use a later time, or the point's own "
            "dump (no --database-at)"
        )
    return before[-1]


@contextmanager
def _server(root: Path, major: int, wanted: Target) -> Iterator[None]:
    """Run the scratch cluster; yields once the replay is complete."""
    log = root / "scratch.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [f"/usr/lib/postgresql/{major}/bin/postgres", "-D", root, "-c", f"config_file={root}/scratch.conf"],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, **AS_POSTGRES,
        )  # fmt: skip
        try:
            while not _answers(root):
                if server.poll() is not None:
                    raise _exit_error(log.read_text(), wanted)
                time.sleep(0.2)
            yield
        finally:
            server.terminate()
            server.wait()


def _answers(root: Path) -> bool:
    """Whether the scratch cluster accepts connections, which it does after its recovery."""
    try:
        psycopg.connect(host=str(root), dbname=ADMIN, user=ADMIN, connect_timeout=10).close()
    except psycopg.OperationalError:
        return False
    return True


def _exit_error(log: str, wanted: Target) -> ControlError:
    """Why the scratch cluster has exited."""
    if "before configured recovery target" in log:
        return Refused(
            f"the WAL archive ends before {wanted.text}: use an earlier time, or a time after a later base backup"
        )
    last = [line for line in log.splitlines() if "FATAL" in line or "ERROR" in line][-1:] or log.splitlines()[-1:]
    return ControlError(f"the WAL archive cannot be replayed up to {wanted.text}: {' '.join(last)}")
