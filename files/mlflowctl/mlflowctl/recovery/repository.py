"""restic: the repository, its snapshots, and their tags.

One restic snapshot is one recovery point. Our own tags name it, because
restic gives a snapshot a new ID when its tags change. An append-only
repository refuses such a change; there a second, tiny snapshot records the
point's state.

Sources: restic manual, "Scripting" (JSON output, exit codes) and "Security
considerations in append-only mode". Any exit code but 0 is a failure here, also 3,
which means that a file could not be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflowctl.core.config import Repository
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.process import lines, run
from mlflowctl.core.progress import ShareCallback

# Constant, so that restic finds the previous snapshot, and retention our own.
HOST = "mlflow"
# restic itself retries an unavailable server for a quarter of an hour.
ANSWER_SECONDS = 30
TAG, MARK = "mlflow", "mlflow-mark"
# A point's name becomes a directory name, and anybody with write access to the repository can set tags.
NAMED = re.compile(r"point:([0-9A-Za-z][0-9A-Za-z-]{0,63})")
VERIFIED, UNVERIFIED, INCOMPLETE = "verified", "unverified", "incomplete"


@dataclass(frozen=True)
class Point:
    """A recovery point.

    Attributes:
        name: ours, unique over all repositories.
        snapshot: restic's ID, which changes with the tags.
        time: when it was taken.
        state: verified, unverified or incomplete.
        paths: what it holds.
    """

    name: str
    snapshot: str
    time: datetime
    state: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One file or directory in a snapshot; sizes in bytes."""

    path: str
    is_file: bool
    size: int


def literal(path: str) -> str:
    """A path as restic's ``--include`` takes it: its patterns are Go's ``filepath.Match``."""
    return re.sub(r"([\\*?\[])", r"\\\1", path)


class Contents:
    """One snapshot, as artifact stores read it."""

    def __init__(self, repository: Restic, snapshot: str) -> None:
        self._repository = repository
        self._snapshot = snapshot

    def files(self) -> Iterator[tuple[str, int]]:
        """The regular files, by their absolute paths, with their sizes in bytes."""
        return ((entry.path, entry.size) for entry in self._repository.entries(self._snapshot) if entry.is_file)

    def restore(self, path: str, root: Path) -> None:
        """Restore a path and all below it to a directory."""
        self._repository.restore(self._snapshot, root, include=[literal(path)])


class Restic:
    """One repository."""

    def __init__(self, repository: Repository) -> None:
        self.name = repository.name
        self.location = repository.location
        self.append_only = repository.append_only
        self._environment = {
            "RESTIC_REPOSITORY": repository.location,
            "RESTIC_PASSWORD_FILE": repository.password_file,
            "RESTIC_PROGRESS_FPS": "1",
            **_read_environment(repository.environment_file),
        }

    def _run(self, *arguments: str, **more: Any) -> str:
        try:
            return str(run(["restic", "--quiet", *arguments], self._environment, **more).stdout)
        except ControlError as error:
            raise ControlError(f"repository {self.name} ({self.location}): {error}") from error

    def _lines(self, *arguments: str) -> Iterator[dict[str, Any]]:
        """What restic prints as JSON, object by object."""
        try:
            yield from map(json.loads, lines(["restic", *arguments, "--json"], self._environment))
        except ControlError as error:
            raise ControlError(f"repository {self.name} ({self.location}): {error}") from error

    def absent(self) -> str:
        """restic's message if there is no repository; empty if there is one and our password opens it.

        This also removes stale locks, so call it only under our own lock.

        Raises:
            ControlError: the password is wrong, the server does not answer, or something else is wrong.
        """
        try:
            self._run("unlock", timeout=ANSWER_SECONDS)
        except ControlError as error:
            # restic 0.14 has one exit code for all of these, and an unreachable server reads the same.
            if any(sign in str(error) for sign in ("Is there a repository", "does not exist", "unable to open config")):
                return str(error)
            raise
        return ""

    def create(self) -> None:
        """Create the repository."""
        self._run("init")

    def unlock(self) -> None:
        """Remove stale locks. Call it only under our own lock."""
        self._run("unlock")

    def backup(
        self, point: str, paths: Sequence[Path], report_share: ShareCallback = lambda _: None, renewed: bool = False
    ) -> str:
        """Take a snapshot of the paths; returns restic's ID.

        Args:
            point: its name.
            paths: what to copy.
            report_share: called with the share that is done, once a second.
            renewed: files have new inodes each time, so restic compares size and modification time.

        Raises:
            ControlError: something could not be read, or a path is missing in the snapshot.
        """
        snapshot = ""
        for line in self._lines(
            "backup", f"--host={HOST}", f"--tag={TAG},{UNVERIFIED},point:{point}",
            "--exclude=.artifact.uploading.*", *["--ignore-inode", "--ignore-ctime"] * renewed, *map(str, paths),
        ):  # fmt: skip
            match line.get("message_type"):
                case "status":
                    report_share(line.get("percent_done", 0))
                case "summary":
                    snapshot = str(line["snapshot_id"])
        if not snapshot:
            raise ControlError(f"restic did not report a snapshot for {point}")
        found = self.find(point)
        missing = {str(path) for path in paths} - set(found.paths)
        if missing:
            raise ControlError(f"restic left out {', '.join(sorted(missing))}: does it exist?")
        return snapshot

    def points(self) -> list[Point]:
        """All recovery points, oldest first."""
        found, marks = [], {}
        listed = json.loads(self._run("snapshots", "--json", f"--tag={TAG}", f"--tag={MARK}")) or []
        for snapshot in sorted(listed, key=lambda snapshot: _time(snapshot["time"])):
            tags = snapshot.get("tags") or []
            name = next((match[1] for tag in tags if (match := NAMED.fullmatch(tag))), None)
            state = next((tag for tag in (VERIFIED, INCOMPLETE) if tag in tags), UNVERIFIED)
            if name and MARK in tags:
                marks[name] = state
            elif name:
                found.append(Point(name, snapshot["id"], _time(snapshot["time"]), state, tuple(snapshot["paths"])))
        return [replace(point, state=marks.get(point.name, point.state)) for point in found]

    def find(self, wanted: str) -> Point:
        """A point by name (or the beginning of it), by time (the newest at or before it), or ``latest``.

        Only verified points are found by time or as the latest.

        Raises:
            ControlError: there is none, or more than one.
        """
        return choose(self.points(), wanted, self.name)

    def mark(self, point: str, state: str) -> None:
        """Set the state of a point."""
        if self.append_only:
            tags = f"--tag={MARK},{state},point:{point}"
            self._run("backup", "--stdin", "--stdin-filename=mark", f"--host={HOST}", tags, stdin=state)
            return
        self._run("tag", f"--tag=point:{point}", f"--set={TAG},{state},point:{point}")

    def entries(self, snapshot: str) -> Iterator[Entry]:
        """Every file and directory of a snapshot."""
        for node in self._lines("ls", snapshot):
            if node.get("struct_type") == "node":
                yield Entry(node["path"], node["type"] == "file", int(node.get("size", 0)))

    def restore(self, snapshot: str, target: Path, include: Sequence[str] = ()) -> None:
        """Restore a snapshot below ``target``, with the full paths it was taken with."""
        self._run("restore", snapshot, f"--target={target}", *(f"--include={path}" for path in include))

    def forget(self, snapshots: Sequence[str]) -> None:
        """Remove snapshots; the next :meth:`prune` frees their data."""
        if snapshots:
            self._run("forget", *snapshots)

    def prune(self) -> None:
        """Free the space of removed snapshots."""
        self._run("prune")

    def check(self, subset: str) -> None:
        """Check the structure and read a part of the data (``1/7``, ``100%``).

        Raises:
            ControlError: the repository is damaged.
        """
        self._run("check", f"--read-data-subset={subset}")


def choose(points: Sequence[Point], wanted: str, repository: str) -> Point:
    """Pick a point as :meth:`Restic.find` describes."""
    verified = [point for point in points if point.state == VERIFIED]
    if wanted == "latest":
        if not verified:
            raise ControlError(
                f"repository {repository} holds no verified recovery point, and {len(points)} others: "
                "see `mlflowctl points`"
            )
        return verified[-1]
    named = [point for point in points if point.name == wanted] or [
        point for point in points if point.name.startswith(wanted) or point.snapshot.startswith(wanted)
    ]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        raise Refused(f"{wanted} is the beginning of {len(named)} recovery points: type more of it")
    try:
        moment = datetime.fromisoformat(wanted).astimezone()
    except ValueError as error:
        raise Refused(
            f"there is no recovery point {wanted!r}: use latest, a name from `mlflowctl points`, or a time"
        ) from error
    before = [point for point in verified if point.time <= moment]
    if not before:
        raise Refused(f"there is no verified recovery point at or before {moment:%Y-%m-%d %H:%M:%S %z}")
    return before[-1]


def following(points: Sequence[Point], moment: datetime, repository: str) -> Point:
    """The first verified point at or after a time, whose artifacts are the closest; otherwise the last one.

    Raises:
        ControlError: there is no verified point.
    """
    after = [point for point in points if point.state == VERIFIED and point.time >= moment]
    return after[0] if after else choose(points, "latest", repository)


def _time(text: str) -> datetime:
    """restic's time, which has nanoseconds."""
    head, _, tail = text.partition(".")
    zone = tail.lstrip("0123456789") if tail else ""
    return datetime.fromisoformat(head + (zone or "+00:00") if tail else head).astimezone()


def _read_environment(path: str) -> dict[str, Any]:
    if not path:
        return {}
    lines = [line.strip() for line in Path(path).read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
