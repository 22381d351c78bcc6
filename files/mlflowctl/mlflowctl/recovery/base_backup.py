"""Take a base backup of the database, from which the archive of its changes can be replayed."""

from __future__ import annotations

import time
from typing import Any

from mlflowctl import stores
from mlflowctl.core import lock, state
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.core.progress import Log


def take(config: Config, log: Log) -> dict[str, Any]:
    """Copy the database into the archive, and record the result.

    Raises:
        Busy: another operation runs.
        ControlError: there is no archive, or it failed; older base backups stay.
    """
    archive = stores.database.of(config).archive
    if archive is None:
        raise ControlError("this host has no WAL archive: set mlflow_postgres_wal_archive and run the playbook")
    started = time.monotonic()
    with lock.exclusive(config.instance.state_path, "base backup"):
        try:
            last = archive.base_backup(log)
        except BaseException as error:
            state.record(config.instance, "base_backup", False, error=str(error) or type(error).__name__)
            raise
        facts = {
            "label": last.label,
            "type": last.type,
            "seconds": round(time.monotonic() - started, 3),
            "bytes": last.size,
        }
        state.record(config.instance, "base_backup", True, **facts)
    return facts
