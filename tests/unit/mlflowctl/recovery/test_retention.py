"""Which points are kept, and which one a name selects."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from mlflowctl.core.errors import ControlError
from mlflowctl.recovery import retention
from mlflowctl.recovery.repository import INCOMPLETE, UNVERIFIED, VERIFIED, Point, Restic, _time, choose

from tests.unit.helpers import KEEP, NOW, point


def test_retention_keeps_what_the_rules_say() -> None:
    """60 days, one point a day: 14 days, then one a week, then one a month."""
    points = [point(24 * day + 1) for day in range(60)]
    stay, go = retention.split(points, KEEP, NOW, 26)
    assert set(stay) | set(go) == set(points)
    days = sorted(round((NOW - kept.time).total_seconds() / 86400) for kept in stay)
    assert days[:14] == list(range(14))
    assert len(stay) == 14 + 6 + 1, days  # 8 weeks reach over 14 days by six; the month before by one
    assert len(go) == 60 - len(stay)


def test_failures_never_push_a_good_point_out() -> None:
    """Ten failed days in a row: the newest verified point is stale, and nothing is removed."""
    points = [point(24 * day + 1, INCOMPLETE if day < 10 else VERIFIED) for day in range(60)]
    with pytest.raises(ControlError, match="nothing is removed until backups work again"):
        retention.split(points, KEEP, NOW, 26)


def test_the_floor_holds_whatever_the_rules() -> None:
    """Three verified points stay even if the rules keep none; unverified older ones go, newer ones stay."""
    points = [point(h) for h in (1, 30, 60, 90)] + [point(0.5, UNVERIFIED), point(31, INCOMPLETE)]
    stay, go = retention.split(points, {}, NOW, 26)
    assert [p.name for p in stay] == ["p60verified", "p30verified", "p1verified", "p0.5unverified"]
    assert [p.name for p in go] == ["p90verified", "p31incomplete"]


@pytest.mark.parametrize(("points", "words"), [([], "no verified"), ([point(-48)], "is in the future")])
def test_retention_refuses(points: list[Point], words: str) -> None:
    """No point, or a clock that is wrong: nothing is removed."""
    with pytest.raises(ControlError, match=words):
        retention.split(points, KEEP, NOW, 26)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("latest", "b"),
        ("aaa", "aaa1"),
        ("2026-11-21T09:00+00:00", "aaa1"),
        ("2026-11-21T11:30+00:00", "b"),
        ("c", "c"),
    ],
)
def test_choosing_a_point(wanted: str, name: str) -> None:
    """By name or its beginning, by time, or the latest verified one."""
    points = [point(5, name="aaa1"), point(2, name="b"), point(1, INCOMPLETE, "c")]
    assert choose(points, wanted, "local").name == name


@pytest.mark.parametrize("wanted", ["nonsense", "2026-11-20T00:00", "a"])
def test_no_such_point(wanted: str) -> None:
    """An unknown name, a time before every point, or a prefix of two."""
    with pytest.raises(ControlError):
        choose([point(5, name="aa"), point(2, name="ab")], wanted, "local")


def test_restic_times_have_nanoseconds() -> None:
    """As restic prints them, with and without a fraction."""
    assert _time("2026-11-21T07:34:07.123456789+01:00") == datetime(2026, 11, 21, 6, 34, 7, tzinfo=UTC)
    assert _time("2026-11-21T07:34:07Z") == datetime(2026, 11, 21, 7, 34, 7, tzinfo=UTC)


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "-x", "x,verified", "a b", "\x1b[2J", "x" * 65])
def test_a_tag_that_is_no_name_is_no_point(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Names become directories, and tags are written by anybody with access to the repository."""
    repository = object.__new__(Restic)
    listed = [
        {
            "id": f"s{number}",
            "time": "2026-11-21T00:00:00Z",
            "tags": ["mlflow", "verified", f"point:{tag}"],
            "paths": [],
        }
        for number, tag in enumerate((name, "20261121T000000Z-0a1b2c"))
    ]
    monkeypatch.setattr(repository, "_run", lambda *_, **__: json.dumps(listed))
    repository.name = "r"
    assert [point.name for point in repository.points()] == ["20261121T000000Z-0a1b2c"]
