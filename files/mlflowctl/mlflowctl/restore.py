"""Bring a recovery point back, beside what lives, checked, and swapped in at the end.

Nothing live is touched before the copy is complete and checked.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import Any

from mlflowctl import backup, database, leftovers, lock, restored, service, state, swap
from mlflowctl.backup import Say
from mlflowctl.checker import walk
from mlflowctl.config import Config
from mlflowctl.errors import ControlError, Refused
from mlflowctl.repository import VERIFIED, Restic

# Beginning of the name of the directory that a point is restored to.
COPY = "restore-"


@dataclass(frozen=True)
class Order:
    """What the operator asks for.

    Attributes:
        point: latest, a name or a time.
        replace_live: put aside what the host serves.
        tls: also the certificates that nginx had, for a new host.
        unverified: accept a point that was never verified.
        repository: name of the repository, or the first one.
    """

    point: str
    replace_live: bool = False
    tls: bool = False
    unverified: bool = False
    repository: str | None = None


def live_data(config: Config) -> str:
    """What a restore would put aside, as words; empty if there is nothing."""
    found = []
    if database.exists(config, config.database):
        with database.connect(config) as connection:
            if database.revision(connection):
                row = connection.execute(
                    "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM registered_models)"
                    " + (SELECT count(*) FROM trace_info) + (SELECT count(*) FROM experiments WHERE experiment_id <> 0)"
                ).fetchone()
                if row and row[0]:
                    found.append(f"{row[0]} experiments, runs, models and traces")
    files = sum(1 for _ in walk(config.store)) if config.store.is_dir() else 0
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
    backup.check_volume(config)
    repository = Restic(config.repository(order.repository))
    point = repository.find(order.point)
    if point.state != VERIFIED and not order.unverified:
        raise Refused(
            f"recovery point {point.name} is {point.state}: take a verified one, "
            "or accept what may be missing with --unverified"
        )
    lives = live_data(config)
    if lives and not order.replace_live:
        raise Refused(
            f"this host serves {lives}. With --replace-live they are put aside, "
            f"and point {point.name} takes their place"
        )
    for old in config.volume_path.glob(f"{COPY}*"):
        say(f"removing {old}, which a killed restore has left")
        shutil.rmtree(old)
    say(f"restoring point {point.name}, beside what lives")
    # On the volume, so that the swap is a rename.
    place = restored.Place(point, config.volume_path / f"{COPY}{point.name}", f"{config.database}_restore")
    copy = restored.fetch(config, repository, place, say)
    report = restored.check(copy, repository, say)
    if report.lost:
        raise ControlError(
            f"the copy lacks {len(report.lost)} things, first: {report.lost[0]}. Nothing live was changed"
        )
    restored.own(copy)
    suffix = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    say("swapping it in; clients wait")
    swap_started = time.monotonic()
    with service.closed(config):
        swap.swap(copy, suffix)
        service.wait_ready(config)
        if order.tls:
            restored.put_tls(copy)
    swap_seconds = time.monotonic() - swap_started
    shutil.rmtree(place.root, ignore_errors=True)
    if lives:
        say(
            f"point {point.name} is live; the old data is in database {config.database}_before_{suffix} "
            f"and {config.store}.before-{suffix}"
        )
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
        "lost": 0,
        "broken_at_source": len(report.broken_at_source),
    }
