"""The roles of mlflowctl's sessions in a database, and their settings."""

from __future__ import annotations

import shutil
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from mlflowctl.core import config
from mlflowctl.core.errors import ControlError
from mlflowctl.recovery import leftovers, restore
from mlflowctl.stores.database.base import Archive, Target
from mlflowctl.stores.database.postgresql import archive, store
from mlflowctl.stores.database.postgresql.server import Server
from mlflowctl.stores.database.postgresql.store import PostgreSQL, SharedSnapshot
from mlflowctl.upgrade import check

from tests.unit.helpers import configured

MINE = "public,pg_temp"


@pytest.fixture
def instance(tmp_path: Path) -> config.Config:
    """An instance whose role has another name than its database."""
    return configured(tmp_path, database={"name": "tracking", "role": "runner", "wal_archive": True})


@pytest.fixture
def database(instance: config.Config) -> PostgreSQL:
    """Its database."""
    return PostgreSQL.of(instance)


def archived(database: PostgreSQL) -> Archive:
    """Its archive."""
    assert database.archive
    return database.archive


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each connection; none is opened."""
    asked: list[dict[str, Any]] = []

    def connect(**arguments: Any) -> None:
        asked.append(arguments)
        raise psycopg.OperationalError("no server")

    monkeypatch.setattr(psycopg, "connect", connect)
    return asked


@pytest.mark.parametrize("name", [None, "tracking", "tracking_drill", "tracking_restore", "tracking_upgrade_check"])
def test_inside_mlflows_database_we_are_its_role(
    database: PostgreSQL, sessions: list[dict[str, Any]], name: str | None
) -> None:
    """The owner of the tables decides what a query runs: never as the superuser, nor with the owner's search path."""
    with suppress(ControlError), database.reader(name):
        pass
    (asked,) = sessions
    assert (asked["dbname"], asked["user"]) == (name or "tracking", "runner")
    assert f"-c search_path=pg_catalog,{MINE}" in asked["options"]
    # A policy that hides rows must not silently remove them from a point.
    assert "-c row_security=off" in asked["options"]


@pytest.mark.parametrize(
    "operation", [leftovers.suffixes, lambda i: check.refuse_without_space(PostgreSQL.of(i)), restore.live_data]
)
def test_operations_leave_whole_databases_to_the_superuser(
    instance: config.Config, sessions: list[dict[str, Any]], operation: Any
) -> None:
    """Also what operations ask of it."""
    with suppress(ControlError):
        operation(instance)
    (asked,) = sessions
    assert (asked["dbname"], asked["user"]) == ("postgres", "postgres")


@pytest.mark.parametrize(
    "operation",
    [
        lambda d: d.exists("tracking"),
        lambda d: d.create("tracking_drill"),
        lambda d: d.drop("tracking_drill"),
        lambda d: d.rename("tracking", "tracking_before_1"),
        lambda d: d.server.major(),
        lambda d: d.archive.name_point("p"),
        lambda d: d.archive.flush(),
        lambda d: d.archive.problem(),
        lambda d: d.set_aside(),
        lambda d: d.size_aside("1"),
        lambda d: d.drop_aside("1"),
        lambda d: d.swap("tracking_restore", "1"),
        lambda d: d.swap_back("tracking_restore", "1"),
        lambda d: d.restore(Path("dump"), "tracking_restore"),
        lambda d: d.content(),
        lambda d: d.space(),
    ],
)
def test_the_superuser_stays_outside(database: PostgreSQL, sessions: list[dict[str, Any]], operation: Any) -> None:
    """Superuser operations use a database that MLflow's role cannot connect to."""
    with suppress(ControlError):
        operation(database)
    (asked,) = sessions
    assert (asked["dbname"], asked["user"]) == ("postgres", "postgres")


def test_a_dump_is_made_and_restored_as_the_role(
    database: PostgreSQL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the first statement: SET ROLE could be reset by statements in the archive."""
    ran: list[tuple[list[str], dict[str, str]]] = []

    def run(arguments: list[str], environment: dict[str, str] | None = None) -> Any:
        ran.append((arguments, environment or {}))
        raise ControlError("enough")

    monkeypatch.setattr(store, "run", run)
    monkeypatch.setattr(PostgreSQL, "create", lambda *_: None)
    connection: Any = None
    for operation in (
        lambda: SharedSnapshot(connection, database.server, "s").dump(tmp_path / "dump"),
        lambda: database.restore(tmp_path / "dump", "tracking_restore"),
    ):
        with pytest.raises(ControlError, match="enough"):
            operation()
    assert [arguments[0] for arguments, _ in ran] == ["pg_dump", "pg_restore"]
    for arguments, environment in ran:
        assert environment["PGUSER"] == "runner"
        assert f"search_path=pg_catalog,{MINE}" in environment["PGOPTIONS"]
        assert not [word for word in arguments if word.startswith("--role")]


def test_a_scratch_cluster_lets_in_the_same_two(
    database: PostgreSQL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A replayed database is as much the role's own as the live one."""
    monkeypatch.setattr(archive, "_base", lambda _: {"label": "1F", "info": {"size": 1}})
    monkeypatch.setattr(archive, "_pgbackrest", lambda *_: "")
    monkeypatch.setattr(archive, "_server", lambda *_: nullcontext())
    monkeypatch.setattr(shutil, "chown", lambda *_: None)
    monkeypatch.setattr(Server, "major", lambda _: 15)
    with archived(database).replayed(Target(datetime.now(UTC)), print) as there:
        assert isinstance(there, PostgreSQL)
        root = Path(there.server.settings.socket_path)
        assert (root / "scratch_hba.conf").read_text().splitlines() == [
            "local postgres postgres peer map=control",
            "local tracking runner peer map=control",
        ]
        assert (root / "scratch_ident.conf").read_text().splitlines() == [
            "control root postgres",
            "control root runner",
        ]


def test_live_data_is_read_as_the_role(instance: config.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before a restore, when the rows are not trusted."""
    asked: list[dict[str, Any]] = []

    def connect(**arguments: Any) -> None:
        asked.append(arguments)
        raise psycopg.OperationalError("no server")

    monkeypatch.setattr(PostgreSQL, "exists", lambda *_: True)
    monkeypatch.setattr(psycopg, "connect", connect)
    with pytest.raises(ControlError):
        restore.live_data(instance)
    assert asked[0]["user"] == "runner"
