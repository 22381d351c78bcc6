"""Replace the live data by a restored copy: four renames while MLflow is stopped.

A journal records that a swap has begun, so that `mlflowctl recover`, which the unit
runs when it ends, can undo or finish an interrupted one. It is written before the
first change and removed after the last.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core import service
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.progress import Log
from mlflowctl.recovery import copies, host_files


def _journal(instance: Instance) -> Path:
    return instance.state_path / "swap.json"


def pending(instance: Instance) -> bool:
    """Whether a swap is neither finished nor undone."""
    return _journal(instance).exists()


def _write_journal(instance: Instance, data: dict[str, Any]) -> None:
    partial = _journal(instance).with_suffix(".partial")
    with partial.open("w") as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(_journal(instance))


def swap(copy: copies.Copy, suffix: str) -> None:
    """Set the live data aside, put the copy in its place, all or nothing, and start MLflow.

    With a copy of the database only, the live artifacts stay.
    """
    config = copy.config
    secrets = config.instance.config_path / "secrets"
    # Must be complete before the journal allows to restore them.
    shutil.copytree(secrets, config.instance.state_path / f"secrets.before-{suffix}", dirs_exist_ok=True)
    journal = {
        "suffix": suffix,
        "copy_store": copy.artifacts.address,
        "copy_database": copy.place.database,
        "done": False,
    }
    _write_journal(config.instance, journal)
    try:
        service.stop(config.instance)
        stores.database.of(config).swap(copy.place.database, suffix)
        if not copy.database_only:
            stores.artifacts.of(config).swap(copy.artifacts, suffix)
        for name in host_files.SECRETS:
            partial = secrets / f"{name}.partial"
            partial.write_bytes(host_files.secret(copy, name))
            os.chmod(partial, 0o600)
            partial.rename(secrets / name)
    except BaseException:
        _put_back(config)
        raise
    _write_journal(config.instance, journal | {"done": True})
    service.start(config.instance)
    _journal(config.instance).unlink()


def _put_back(config: Config) -> None:
    """Undo and start MLflow; the journal is removed last, so that an interrupted undo is repeated."""
    service.stop(config.instance)
    undo(config)
    service.start(config.instance)
    _journal(config.instance).unlink()


def undo(config: Config) -> None:
    """Undo the swap of the journal, at whatever stage it was; can be repeated."""
    data = json.loads(_journal(config.instance).read_text())
    suffix = data["suffix"]
    kept = config.instance.state_path / f"secrets.before-{suffix}"
    stores.artifacts.of(config).swap_back(data["copy_store"], suffix)
    stores.database.of(config).swap_back(data["copy_database"], suffix)
    for name in host_files.SECRETS:
        if (kept / name).is_file():
            shutil.copy2(kept / name, config.instance.config_path / "secrets" / name)


def recover(config: Config, log: Log) -> bool:
    """Finish or undo an interrupted swap; returns whether there was one."""
    if not pending(config.instance):
        return False
    if json.loads(_journal(config.instance).read_text())["done"]:
        log("a restore was interrupted after its swap: starting MLflow on the restored data")
        service.start(config.instance)
        _journal(config.instance).unlink()
    else:
        log("a swap was interrupted: putting the old data back")
        _put_back(config)
    return True
