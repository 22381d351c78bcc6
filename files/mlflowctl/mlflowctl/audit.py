"""Who changed what: nginx writes a line for every request that changes something, also for refused ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlflowctl.access import Access
from mlflowctl.ages import parse_age
from mlflowctl.errors import ControlError


def read(access: Access, user: str | None, since: str | None, now: datetime) -> list[dict[str, Any]]:
    """The lines that fit, oldest first.

    Args:
        access: where the log is.
        user: only of this user or token.
        since: only from then on; ISO 8601 (this host's time zone if it has none), or an age such as ``2d``.
        now: with a time zone.

    Raises:
        ControlError: ``since`` is no time.
    """
    start = _start(since, now) if since else None
    lines = (line for log in _logs(access.audit_log) for line in _lines(log))
    return [
        line
        for line in lines
        if user in (None, line["name"]) and (start is None or datetime.fromisoformat(line["time"]) >= start)
    ]


def _start(since: str, now: datetime) -> datetime:
    if since[:1].isdigit() and since[-1:].isalpha() and since[-1] != "Z":
        return now - timedelta(seconds=parse_age(since, "--since"))
    try:
        return datetime.fromisoformat(since).astimezone()
    except ValueError as error:
        raise ControlError(f"--since is {since!r}: write 2026-11-21T06:00, or an age such as 2d") from error


def _logs(newest: Path) -> list[Path]:
    """The log and those that were rotated away (``.1``, ``.2.gz`` …), oldest first."""
    rotated = {int(path.name.split(".")[2]): path for path in newest.parent.glob(f"{newest.name}.[0-9]*")}
    return [rotated[number] for number in sorted(rotated, reverse=True)] + [newest] * newest.exists()


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(log, "rt", errors="replace") if log.suffix == ".gz" else log.open(errors="replace") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                continue  # cut off by a full disk or a crash
