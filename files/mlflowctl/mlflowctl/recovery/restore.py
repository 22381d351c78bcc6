"""Restore a recovery point: beside the live data first, then checked, then swapped in.

Live data is not touched before the copy is complete and checked.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from mlflowctl import stores
from mlflowctl.core import lock, service, state, trees
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.progress import Log
from mlflowctl.recovery import copies, host_files, inspection, leftovers, partial, restored, rewind, swap
from mlflowctl.recovery.checker import Report
from mlflowctl.recovery.repository import VERIFIED, Point, Restic, following

WARNING = (
    "WARNING: only the database is restored. Runs and models of the point whose artifacts no longer exist will be "
    "broken, and later artifacts will belong to no run"
)
# Prefix of the directory that a point is restored to.
COPY = "restore-"


@dataclass(frozen=True)
class Request:
    """The arguments of a restore.

    Attributes:
        point: latest, a name or a time; if not given, the latest, or the first one after `database_at`.
        replace_live: set the live data aside and replace it.
        tls: also restore nginx's certificates and the tokens, for a new host.
        unverified: accept a point that was never verified, or a database whose artifacts are missing.
        database_only: leave the live artifacts as they are.
        database_at: take the database from the WAL archive, as of this time; ``point``: the point's own time.
        run: only the artifacts of the run of this ID.
        model: only the artifacts of this logged model, or ``NAME/VERSION`` of a registered one.
        repository: name of the repository, or the first one.
    """

    point: str | None = None
    replace_live: bool = False
    tls: bool = False
    unverified: bool = False
    database_only: bool = False
    database_at: str | None = None
    run: str | None = None
    model: str | None = None
    repository: str | None = None

    def __post_init__(self) -> None:
        chosen = [f"--{name}" for name in ("run", "model") if getattr(self, name)]
        chosen += ["--database-only"] * self.database_only
        if len(chosen) > 1:
            raise Refused(f"{' and '.join(chosen)} exclude each other: give one")
        if self.database_at and self.part:
            raise Refused(f"--database-at and {chosen[0]} exclude each other: give one")
        if self.database_at == "point" and not self.point:
            raise Refused("--database-at point needs the name of a point")

    @property
    def part(self) -> partial.Part | None:
        """The part to restore, or ``None`` for the whole point."""
        for kind in ("run", "model"):
            if name := getattr(self, kind):
                return partial.Part(kind, name, self.replace_live)
        return None

    def arguments(self) -> list[str]:
        """As arguments of the command line."""
        words = [self.point] if self.point else []
        for name, value in asdict(self).items():
            option = f"--{name.replace('_', '-')}"
            if name != "point" and value:
                words += [option] if value is True else [option, value]
        return words


def live_data(config: Config) -> str:
    """What a restore would set aside, as text; empty if there is nothing."""
    found = []
    if rows := stores.database.of(config).content():
        found.append(f"{rows} experiments, runs, models and traces")
    artifacts = stores.artifacts.of(config)
    files = sum(1 for _ in artifacts.list()) if artifacts.exists() else 0
    if files:
        found.append(f"{files} artifacts")
    return " and ".join(found)


def run(config: Config, request: Request, log: Log) -> dict[str, Any]:
    """Restore a point onto this host and start MLflow on it.

    Raises:
        Busy: another operation runs.
        ControlError: refused or failed; the live data is unchanged.
    """
    started = time.monotonic()
    with lock.exclusive(config.instance.state_path, "restore"):
        swap.recover(config, log)
        try:
            facts = _run(config, request, log)
        except Refused:
            raise
        except BaseException as error:
            state.record(config.instance, "restore", False, error=str(error) or type(error).__name__)
            raise
        facts["rto_seconds"] = round(time.monotonic() - started, 3)
        state.record(config.instance, "restore", True, **facts)
    return facts


def _run(config: Config, request: Request, log: Log) -> dict[str, Any]:
    artifacts = stores.artifacts.of(config)
    artifacts.check()
    repository = Restic(config.recovery.repository(request.repository))
    point = _point(repository, request)
    if point.state != VERIFIED and not request.unverified:
        raise Refused(
            f"recovery point {point.name} is {point.state}: use a verified one, "
            "or accept what may be missing with --unverified"
        )
    for old in artifacts.scratches(COPY):
        log(f"removing {old}, left by an interrupted restore")
        trees.remove(old)
    place = copies.Place(point, artifacts.scratch(f"{COPY}{point.name}"), stores.database.of(config).scratch("restore"))
    try:
        if request.part:
            return partial.restore_part(config, repository, place, request.part, log)
        return _whole(config, request, repository, place, log)
    finally:
        _clean(config, place)


def _point(repository: Restic, request: Request) -> Point:
    """The requested point.

    Raises:
        ControlError: there is no such point.
    """
    if request.point or not request.database_at:
        return repository.find(request.point or "latest")
    return following(repository.points(), rewind.moment(request.database_at), repository.name)


def _clean(config: Config, place: copies.Place) -> None:
    """Remove the rest of the copy, unless a swap has still to be undone, which needs it."""
    if swap.pending(config.instance):
        return
    # An error here must not hide the one before.
    with suppress(ControlError):
        trees.remove(place.root)
    with suppress(ControlError):
        stores.database.of(config).drop(place.database)


def _whole(config: Config, request: Request, repository: Restic, place: copies.Place, log: Log) -> dict[str, Any]:
    point = place.point
    live = live_data(config)
    if live and not request.replace_live:
        raise Refused(
            f"this host serves {live}. With --replace-live they are set aside and replaced by point {point.name}"
        )
    if request.database_only:
        log(WARNING)
    log(f"restoring point {point.name} beside the live data")
    what = copies.Selection(request.database_only, request.database_at)
    copy = restored.fetch(config, repository, place, log, what)
    report = inspection.check(copy, repository, log)
    _refuse_losses(copy, report, request)
    if not request.database_only:
        copy.artifacts.own()
    suffix = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    log("swapping it in; clients wait")
    swap_started = time.monotonic()
    with service.closed(config.recovery.closed_file):
        swap.swap(copy, suffix)
        service.wait_ready(config.instance)
        if request.tls:
            host_files.put_tls(copy)
            host_files.put_tokens(copy, log)
    swap_seconds = time.monotonic() - swap_started
    if live:
        log(f"point {point.name} is live; what it replaced is kept: mlflowctl leftovers list, suffix {suffix}")
    else:
        leftovers.remove(config, suffix)
        log(f"point {point.name} is live")
    return {
        "point": point.name,
        "swap_seconds": round(swap_seconds, 3),
        "put_aside": suffix if live else "",
        "references": report.references,
        "files": report.files,
        "bytes": report.size,
        "lost": len(report.lost),
        "broken_at_source": len(report.broken_at_source),
    }


def _refuse_losses(copy: copies.Copy, report: Report, request: Request) -> None:
    """Stop before live data is changed, if the copy is not complete.

    Raises:
        Refused: artifacts that the database refers to are missing, and the operator has not accepted that.
        ControlError: the copy itself is damaged.
    """
    mixed = copy.database_only or request.database_at
    damaged = inspection.check_database(copy) if mixed else report.lost
    if damaged:
        raise ControlError(f"the copy lacks {len(damaged)} items, first: {damaged[0]}. The live data was not changed")
    if report.lost and not request.unverified:
        raise Refused(
            f"{len(report.lost)} items that this database refers to are not among the artifacts, first: "
            f"{report.lost[0]}. Restore a whole point, or accept that with --unverified"
        )
