"""The audit log: nginx writes a line for every request that changes something, also for refused ones."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlflowctl.access.declared import Access
from mlflowctl.core.ages import parse_age
from mlflowctl.core.errors import Refused

# Fields that MLflow sets, percent-encoded where not printable (mlflow_host.patches.security.subjects).
SUBJECTS = ("experiment", "run", "model", "version")


def read(access: Access, user: str | None, since: str | None, now: datetime) -> list[dict[str, Any]]:
    """The matching lines, oldest first.

    Args:
        access: where the log is.
        user: only of this user or token.
        since: only from then on; ISO 8601 (this host's time zone if it has none), or an age such as ``2d``.
        now: with a time zone.

    Raises:
        ControlError: ``since`` is no time.
    """
    start = _start(since, now) if since else None
    found = []
    for log in _logs(access.audit_log):
        for line in _lines(log):
            time = _time(line)
            if time and user in (None, line.get("name")) and (start is None or time >= start):
                found.append(line)
    return found


def subject(line: dict[str, Any]) -> str:
    """The experiment, run or model of a line, as text."""
    return " ".join(f"{name} {line[name]}" for name in SUBJECTS if line.get(name))


def _start(since: str, now: datetime) -> datetime:
    if since[:1].isdigit() and since[-1:].isalpha() and since[-1] != "Z":
        return now - timedelta(seconds=parse_age(since, "--since"))
    try:
        return datetime.fromisoformat(since).astimezone()
    except ValueError as error:
        raise Refused(f"--since is {since!r}: write 2026-11-21T06:00, or an age such as 2d") from error


def _time(line: dict[str, Any]) -> datetime | None:
    """The time of the line; ``None`` if it is not a line of nginx."""
    try:
        time = datetime.fromisoformat(line["time"])
    except (KeyError, TypeError, ValueError):
        return None
    return time if time.tzinfo else None


def _logs(newest: Path) -> list[Path]:
    """The log and the rotated ones (``.1``, ``.2.gz`` …), oldest first."""
    name = re.compile(re.escape(newest.name) + r"\.([0-9]+)(\.gz)?")
    found = [(match, path) for path in newest.parent.glob(f"{newest.name}.*") if (match := name.fullmatch(path.name))]
    rotated = {int(match[1]): path for match, path in found}
    return [rotated[number] for number in sorted(rotated, reverse=True)] + [newest] * newest.exists()


def _decoded(line: dict[str, Any]) -> dict[str, Any]:
    """The line with its subject decoded. Lines without a version are older, and not encoded."""
    return line | {name: unquote(line[name]) for name in SUBJECTS if isinstance(line.get(name), str)}


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(log, "rt", errors="replace") if log.suffix == ".gz" else log.open(errors="replace") as file:
        try:
            for text in file:
                try:
                    line = json.loads(text)
                except (ValueError, RecursionError):
                    continue  # cut off by a full disk or a crash
                if isinstance(line, dict):
                    yield _decoded(line) if "version" in line else line
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return  # cut off likewise
