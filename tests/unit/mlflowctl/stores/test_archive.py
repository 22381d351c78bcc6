"""The target of a replay of the WAL archive, and the artifacts that belong to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.recovery import rewind
from mlflowctl.recovery.repository import INCOMPLETE, VERIFIED, Point, following
from mlflowctl.recovery.restore import Request
from mlflowctl.stores.database.base import Target
from mlflowctl.stores.database.postgresql import archive
from mlflowctl.stores.database.postgresql.server import Server, Settings

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WAL = archive.WalArchive(Server(Settings("mlflow", "mlflow", "/run", True)), Path("/none"), lambda _: None)  # type: ignore[arg-type, return-value]


def point(hours: float, state: str = VERIFIED) -> Point:
    """A point of so many hours after noon."""
    return Point(f"p{hours:g}", "s", NOON + timedelta(hours=hours), state, ())


def test_a_time_and_a_point_are_targets() -> None:
    """pgBackRest gets the time with its zone, or the name that the recovery point has in the log."""
    at = rewind.target(WAL, "2026-11-20T10:17:30+00:00", "p", NOON)
    assert archive.arguments(at)[:2] == ["--type=time", "--target=2026-11-20 10:17:30.000000+0000"]
    named = rewind.target(WAL, "point", "p", NOON)
    assert named == Target(NOON, "mlflow-p")
    assert archive.arguments(named)[:2] == ["--type=name", "--target=mlflow-p"]


@pytest.mark.parametrize(("wanted", "words"), [("yesterday", "use a time such as"), ("2999-01-01", "in the future")])
def test_other_words_are_refused(wanted: str, words: str) -> None:
    """Before any change."""
    with pytest.raises(Refused, match=words):
        rewind.moment(wanted)


def test_without_an_archive_there_is_no_replay() -> None:
    """The message names the variable that enables one."""
    database: Any = SimpleNamespace(archive=None)
    with pytest.raises(Refused, match="mlflow_postgres_wal_archive"):
        rewind.archive_of(database)


def test_artifacts_come_from_the_first_point_after_the_moment() -> None:
    """It contains the artifacts of that time; without one, the last before it is the nearest."""
    points = [point(-5), point(1, INCOMPLETE), point(2), point(4)]
    assert following(points, NOON, "local").name == "p2"
    assert following(points, NOON + timedelta(hours=5), "local").name == "p4"
    with pytest.raises(ControlError, match="no verified recovery point"):
        following([point(1, INCOMPLETE)], NOON, "local")


def test_the_base_is_the_newest_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base backup that was still being taken at that moment cannot be replayed to it."""
    stops = [
        (name, {"stop": (NOON + timedelta(hours=hours)).timestamp()})
        for name, hours in (("a", -9), ("b", -1), ("c", 1))
    ]
    monkeypatch.setattr(archive, "_backups", lambda: [{"label": name, "timestamp": stop} for name, stop in stops])
    assert archive._base(Target(NOON))["label"] == "b"
    with pytest.raises(Refused, match="no base backup from before"):
        archive._base(Target(NOON - timedelta(days=1)))


def test_an_archive_that_ends_too_early_is_explained() -> None:
    """PostgreSQL's message is replaced by a solution."""
    message = archive._exit_error("FATAL:  recovery ended before configured recovery target was reached", Target(NOON))
    assert isinstance(message, Refused)
    assert "ends before" in str(message)
    assert "disk on fire" in str(archive._exit_error("LOG: x\nPANIC: disk on fire", Target(NOON)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"database_at": "2026-01-01", "run": "r"}, "--database-at and --run exclude"),
        ({"database_at": "point"}, "needs the name of a point"),
    ],
)
def test_contradicting_options_are_refused(options: dict[str, Any], words: str) -> None:
    """Before the unit starts."""
    with pytest.raises(ControlError, match=words):
        Request(**options)


def test_options_reach_the_unit(tmp_path: Path) -> None:
    """Without a point there is no argument for it."""
    assert Request(database_at="2026-01-01", replace_live=True).arguments() == [
        "--replace-live",
        "--database-at",
        "2026-01-01",
    ]
