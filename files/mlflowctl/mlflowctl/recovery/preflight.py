"""Checks before a recovery point is taken: volume, tools, free space, clock, release."""

from __future__ import annotations

import json
import shutil
import time

from mlflowctl import stores
from mlflowctl.core import state
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.errors import ControlError

# Kept free beside the dump, in bytes.
SPARE_BYTES = 1 << 30


def check(config: Config) -> None:
    """Refuse before anything is changed.

    Raises:
        ControlError: the volume, the tools, the space, the clock or the
            release do not allow a point.
    """
    stores.artifacts.of(config).check()
    check_dump(config)
    last = state.read(config.instance).get("backup", {}).get("success", {})
    if time.time() < last.get("time", 0):
        raise ControlError(f"the clock is before the last backup ({last['at']}): set it right, or points get mixed up")
    with stores.database.of(config).reader() as reader:
        found = reader.revision()
    head = release_head(config.instance)
    if found != head:
        raise ControlError(
            f"the database has schema revision {found or 'none'} and the release {head}: is an upgrade unfinished?"
        )


def check_dump(config: Config) -> None:
    """Refuse if the database cannot be dumped: the tools, the space.

    Raises:
        ControlError: the programs are too old for the server, or there is too little space.
    """
    stores.database.of(config).check_tools()
    last = state.read(config.instance).get("backup", {}).get("success", {})
    need = int(1.3 * last.get("dump_bytes", 0)) + SPARE_BYTES
    free = shutil.disk_usage(config.instance.state_path).free
    if free < need:
        raise ControlError(
            f"{config.instance.state_path} has {free >> 20} MiB free and the dump may need {need >> 20} MiB: "
            "free some space"
        )


def release_head(instance: Instance) -> str:
    """The schema revision of the installed release."""
    path = instance.root_path / "current" / "release.json"
    try:
        return str(json.loads(path.read_text())["schema_head"])
    except (OSError, ValueError, KeyError) as error:
        raise ControlError(f"{path} is missing or damaged: run the playbook again") from error
