"""Check for lost data: the live data, a recovery point, the repositories."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflowctl import stores
from mlflowctl.core import lock, state
from mlflowctl.core.config import Config
from mlflowctl.core.progress import Log
from mlflowctl.recovery import backup, description
from mlflowctl.recovery.checker import Files, Report, compare
from mlflowctl.recovery.repository import Contents, Restic
from mlflowctl.stores import references

DAYS = 7


def run(config: Config, wanted: str | None, repository: str | None) -> Report:
    """Check the live data, or a point without restoring its artifacts.

    Raises:
        ControlError: it cannot be read.
    """
    if wanted is None:
        artifacts = stores.artifacts.of(config)
        artifacts.check()
        with stores.database.of(config).snapshot() as rows:
            found = list(references.strong(rows, artifacts))
        return compare(found, Files(artifacts.list()))
    restic = Restic(config.recovery.repository(repository))
    point = restic.find(wanted)
    with TemporaryDirectory(dir=config.instance.state_path) as folder:
        manifest, facts = (f"{config.instance.stage}/{name}" for name in (backup.MANIFEST, backup.FACTS))
        restic.restore(point.snapshot, Path(folder), include=[manifest, facts])
        described = description.read(Path(folder), config.instance.stage, backup.FACTS)
        listed = backup.listing(stores.artifacts.of(config), Contents(restic, point.snapshot), described["store"])
        return compare(references.read(Path(folder + manifest)), listed)


def check_repositories(config: Config, full: bool, log: Log) -> dict[str, Any]:
    """Check the structure of every repository, and read a seventh of its data, a different one each day.

    Raises:
        Busy: another operation runs.
        ControlError: damage; says where.
    """
    started = time.monotonic()
    subset = "100%" if full else f"{datetime.now(UTC).toordinal() % DAYS + 1}/{DAYS}"
    with lock.exclusive(config.instance.state_path, "check"):
        try:
            for repository in map(Restic, config.recovery.repositories):
                log(f"checking repository {repository.name}, reading {subset} of its data")
                repository.unlock()
                repository.check(subset)
        except BaseException as error:
            state.record(config.instance, "check", False, error=str(error) or type(error).__name__)
            raise
        facts = {"seconds": round(time.monotonic() - started, 3), "subset": subset}
        state.record(config.instance, "check", True, **facts)
    return facts
