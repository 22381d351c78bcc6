"""Which systemd units run on files that have changed since they started.

A handler is lost when the run that would have called it is killed. Comparing
times finds the same units whenever the next run comes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypedDict


class Needs(TypedDict):
    """The files of a unit besides its unit file."""

    unit: str
    files: list[str]
    stops: list[str]


def _blocks(shown: str) -> list[dict[str, str]]:
    """The units in the output of ``systemctl show``, one dictionary each."""
    return [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in shown.split("\n\n")
        if block.strip()
    ]


def _started(unit: dict[str, str]) -> float | None:
    """When the unit began to start, in seconds since 1970; ``None`` if it does not run."""
    text = unit.get("InactiveExitTimestamp", "")
    if unit.get("ActiveState") in ("inactive", None) or text in ("", "n/a"):
        return None
    return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC).timestamp()


def stale_units(shown: str, written: dict[str, float], needs: list[Needs]) -> list[str]:
    """The units to stop because a file of theirs is newer than they are.

    Args:
        shown: output of ``systemctl show --timestamp=us+utc`` with the
            properties Id, ActiveState and InactiveExitTimestamp.
        written: by path, when each file was written, in seconds since 1970.
        needs: for each unit, the files it reads and the units that stop
            before it.

    Returns:
        Names in the order in which to stop them.

    Raises:
        KeyError: ``shown`` lacks a unit of ``needs``.
    """
    units = {unit.get("Id", ""): unit for unit in _blocks(shown)}
    stop: list[str] = []
    for need in needs:
        name = need["unit"]
        started = _started(units[name])
        if started is None:
            continue
        own_times = [written[path] for path in [f"/etc/systemd/system/{name}", *need["files"]] if path in written]
        # Without any, this is check mode, and its files are still to be written.
        if not own_times or max(own_times) > started:
            stop += [*need["stops"], name]
    return list(dict.fromkeys(stop))


def running_units(shown: str) -> list[str]:
    """The units that are active and, where that applies, enabled."""
    return [
        unit["Id"]
        for unit in _blocks(shown)
        if unit.get("ActiveState") == "active" and unit.get("UnitFileState") in ("enabled", "enabled-runtime", "static")
    ]


def awake_units(shown: str) -> list[str]:
    """The units that are active, or will be after the next boot."""
    return [
        unit["Id"]
        for unit in _blocks(shown)
        if unit.get("ActiveState") not in ("inactive", None) or unit.get("UnitFileState", "").startswith("enabled")
    ]


def unread_units(shown: str) -> list[str]:
    """The units whose files have changed since systemd read them (property NeedDaemonReload)."""
    return [unit["Id"] for unit in _blocks(shown) if unit.get("NeedDaemonReload") == "yes"]


def next_elapses(shown: str) -> list[str]:
    """The timers that will elapse."""
    return [unit["Id"] for unit in _blocks(shown) if unit.get("NextElapseUSecRealtime")]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file by name."""
        return {
            "stale_units": stale_units,
            "running_units": running_units,
            "awake_units": awake_units,
            "unread_units": unread_units,
            "next_elapses": next_elapses,
        }
