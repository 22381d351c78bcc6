"""Which recovery points are kept. Only verified ones count as kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mlflowctl.core import lock, state
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.core.progress import Log
from mlflowctl.recovery.repository import VERIFIED, Point, Restic

# Minimum number of verified points, whatever their age.
FLOOR = 3

# How times are grouped for each kind.
_GROUPS = {
    "hourly": "%Y-%m-%d %H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-%V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}


def split(
    points: Sequence[Point], keep: dict[str, int], now: datetime, stale_hours: float
) -> tuple[list[Point], list[Point]]:
    """Which points are kept and which are removed.

    Args:
        points: all points of a repository, in any order.
        keep: ``last``, ``hourly``, ``daily``, ``weekly``, ``monthly``,
            ``yearly``: how many verified points of each to keep.
        now: the present time.
        stale_hours: nothing is removed while the newest verified point is older.

    Raises:
        ControlError: the newest verified point is too old, or there is none,
            or is in the future.
    """
    verified = sorted(
        (point for point in points if point.state == VERIFIED), key=lambda point: point.time, reverse=True
    )
    if not verified:
        raise ControlError("there is no verified recovery point: nothing is removed until there is one")
    age = (now - verified[0].time).total_seconds() / 3600
    if age > stale_hours:
        raise ControlError(
            f"the newest verified recovery point is {age:.0f} h old (limit {stale_hours:g} h): "
            "nothing is removed until backups work again"
        )
    if age < -1:
        raise ControlError("the newest recovery point is in the future: correct the clock; nothing is removed")
    stay = set(verified[: max(FLOOR, keep.get("last", 0))])
    for kind, form in _GROUPS.items():
        groups: dict[str, Point] = {}
        for point in verified:  # newest first: it represents its group
            groups.setdefault(point.time.strftime(form), point)
        stay |= set(list(groups.values())[: keep.get(kind, 0)])
    # An unverified point that is newer than the newest verified one may be in progress, or show what went wrong.
    stay |= {point for point in points if point.state != VERIFIED and point.time >= verified[0].time}
    ordered = sorted(points, key=lambda point: point.time)
    return [point for point in ordered if point in stay], [point for point in ordered if point not in stay]


def apply(config: Config, dry_run: bool, log: Log) -> dict[str, Any]:
    """Remove the points that no rule keeps, and free their space.

    Raises:
        Busy: another operation runs.
        ControlError: the newest verified point is stale; nothing was removed.
    """
    started = time.monotonic()
    removed: dict[str, list[str]] = {}
    kept: dict[str, int] = {}
    with lock.exclusive(config.instance.state_path, "retention"):
        try:
            for repository in map(Restic, config.recovery.repositories):
                if repository.append_only:
                    log(f"repository {repository.name} is append-only: its own host removes old points")
                    continue
                if not dry_run:
                    repository.unlock()
                stay, go = split(
                    repository.points(), config.recovery.keep, datetime.now().astimezone(), config.recovery.stale_hours
                )
                removed[repository.name] = [point.name for point in go]
                kept[repository.name] = len(stay)
                log(f"repository {repository.name}: {len(stay)} points are kept, {len(go)} are removed")
                if not dry_run:
                    repository.forget([point.snapshot for point in go])
                    repository.prune()
        except BaseException as error:
            state.record(config.instance, "prune", False, error=str(error) or type(error).__name__)
            raise
        facts = {"seconds": round(time.monotonic() - started, 3), "kept": kept, "removed": removed}
        if not dry_run:
            state.record(config.instance, "prune", True, **facts)
    return facts
