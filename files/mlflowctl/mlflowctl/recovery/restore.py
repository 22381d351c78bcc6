"""Bring a recovery point back, beside what lives, checked, and swapped in at the end.

Nothing live is touched before the copy is complete and checked.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from mlflowctl.core import lock, service, state
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.recovery import copies, host_files, inspection, leftovers, partial, preflight, restored, swap
from mlflowctl.recovery.backup import Say
from mlflowctl.recovery.checker import Report
from mlflowctl.recovery.repository import VERIFIED, Point, Restic, following
from mlflowctl.stores.artifacts import trees
from mlflowctl.stores.database import archive, postgresql

WARNING = (
    "WARNING: only the database goes back. Runs and models of the point whose artifacts are gone by now will be "
    "broken, and artifacts that came later will belong to nothing"
)
# Beginning of the name of the directory that a point is restored to.
COPY = "restore-"


@dataclass(frozen=True)
class Order:
    """What the operator asks for.

    Attributes:
        point: latest, a name or a time; if not given, the latest, or the first one after `database_at`.
        replace_live: put aside what the host serves.
        tls: also the certificates that nginx had, and the tokens, for a new host.
        unverified: accept a point that was never verified, or a database whose artifacts are not there.
        database_only: leave the live artifacts as they are.
        database_at: take the database out of the WAL archive, as of this time; ``point``: the point's own moment.
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
        """The part that is to come back, or ``None`` for the whole point."""
        for kind in ("run", "model"):
            if name := getattr(self, kind):
                return partial.Part(kind, name, self.replace_live)
        return None

    def arguments(self) -> list[str]:
        """As the command line takes it."""
        words = [self.point] if self.point else []
        for name, value in asdict(self).items():
            option = f"--{name.replace('_', '-')}"
            if name != "point" and value:
                words += [option] if value is True else [option, value]
        return words


def live_data(config: Config) -> str:
    """What a restore would put aside, as words; empty if there is nothing."""
    found = []
    if postgresql.exists(config, config.database):
        with postgresql.connect(config) as connection:
            if postgresql.revision(connection):
                row = connection.execute(
                    "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM registered_models)"
                    " + (SELECT count(*) FROM trace_info) + (SELECT count(*) FROM experiments WHERE experiment_id <> 0)"
                ).fetchone()
                if row and row[0]:
                    found.append(f"{row[0]} experiments, runs, models and traces")
    files = sum(1 for _ in trees.walk(config.store)) if config.store.is_dir() else 0
    if files:
        found.append(f"{files} artifacts")
    return " and ".join(found)


def run(config: Config, order: Order, say: Say) -> dict[str, Any]:
    """Restore a point onto this host and start MLflow on it.

    Raises:
        Busy: another transaction runs.
        ControlError: refused, or failed; what lived lives on.
    """
    started = time.monotonic()
    with lock.exclusive(config.state_path, "restore"):
        swap.recover(config, say)
        try:
            facts = _run(config, order, say)
        except Refused:
            raise
        except BaseException as error:
            state.record(config, "restore", False, error=str(error) or type(error).__name__)
            raise
        facts["rto_seconds"] = round(time.monotonic() - started, 3)
        state.record(config, "restore", True, **facts)
    return facts


def _run(config: Config, order: Order, say: Say) -> dict[str, Any]:
    preflight.check_volume(config)
    repository = Restic(config.repository(order.repository))
    point = _point(repository, order)
    if point.state != VERIFIED and not order.unverified:
        raise Refused(
            f"recovery point {point.name} is {point.state}: take a verified one, "
            "or accept what may be missing with --unverified"
        )
    for old in config.volume_path.glob(f"{COPY}*"):
        say(f"removing {old}, which a killed restore has left")
        trees.remove(old)
    # On the volume, so that the swap is a rename.
    place = copies.Place(point, config.volume_path / f"{COPY}{point.name}", f"{config.database}_restore")
    try:
        if order.part:
            return partial.bring_back(config, repository, place, order.part, say)
        return _whole(config, order, repository, place, say)
    finally:
        _clean(config, place)


def _point(repository: Restic, order: Order) -> Point:
    """The point that is asked for.

    Raises:
        ControlError: there is none.
    """
    if order.point or not order.database_at:
        return repository.find(order.point or "latest")
    return following(repository.points(), archive.moment(order.database_at), repository.name)


def _clean(config: Config, place: copies.Place) -> None:
    """Remove what is left of the copy, unless a swap is still to be undone: that needs the place of the copy."""
    if swap.pending(config):
        return
    # What went wrong before is what the operator must read.
    with suppress(ControlError):
        trees.remove(place.root)
    with suppress(ControlError):
        postgresql.drop(config, place.database)


def _whole(config: Config, order: Order, repository: Restic, place: copies.Place, say: Say) -> dict[str, Any]:
    point = place.point
    lives = live_data(config)
    if lives and not order.replace_live:
        raise Refused(
            f"this host serves {lives}. With --replace-live they are put aside, "
            f"and point {point.name} takes their place"
        )
    if order.database_only:
        say(WARNING)
    say(f"restoring point {point.name}, beside what lives")
    what = copies.Selection(order.database_only, order.database_at)
    copy = restored.fetch(config, repository, place, say, what)
    report = inspection.check(copy, repository, say)
    _refuse_losses(copy, report, order)
    if not order.database_only:
        copy.give()
    suffix = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    say("swapping it in; clients wait")
    swap_started = time.monotonic()
    with service.closed(config):
        swap.swap(copy, suffix)
        service.wait_ready(config)
        if order.tls:
            host_files.put_tls(copy)
            host_files.put_tokens(copy, say)
    swap_seconds = time.monotonic() - swap_started
    if lives:
        say(f"point {point.name} is live; what it replaced is kept: mlflowctl leftovers list, suffix {suffix}")
    else:
        leftovers.remove(config, suffix)
        say(f"point {point.name} is live")
    return {
        "point": point.name,
        "swap_seconds": round(swap_seconds, 3),
        "put_aside": suffix if lives else "",
        "references": report.references,
        "files": report.files,
        "bytes": report.size,
        "lost": len(report.lost),
        "broken_at_source": len(report.broken_at_source),
    }


def _refuse_losses(copy: copies.Copy, report: Report, order: Order) -> None:
    """Stop before anything live changes, if the copy is not whole.

    Raises:
        Refused: artifacts that the database relies on are gone, and the operator has not accepted that.
        ControlError: the copy itself is not whole.
    """
    mixed = copy.database_only or order.database_at
    damaged = inspection.check_database(copy) if mixed else report.lost
    if damaged:
        raise ControlError(f"the copy lacks {len(damaged)} things, first: {damaged[0]}. Nothing live was changed")
    if report.lost and not order.unverified:
        raise Refused(
            f"{len(report.lost)} things that this database relies on are not among the artifacts, first: "
            f"{report.lost[0]}. Restore a whole point, or accept that with --unverified"
        )
