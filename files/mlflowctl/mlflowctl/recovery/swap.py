"""Put a restored copy in the place of what lives: four renames while MLflow is stopped.

A journal says that a swap has begun, and what to look for; so one that was
killed is undone, or finished, by `mlflowctl recover`, which the unit runs when
it ends. The journal is written before the first change and goes after the last.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from mlflowctl.core import beneath, service
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.recovery import copies, host_files
from mlflowctl.recovery.backup import Say
from mlflowctl.stores.database import postgresql


def _journal(config: Config) -> Path:
    return config.state_path / "swap.json"


def pending(config: Config) -> bool:
    """Whether a swap has begun that is neither finished nor undone."""
    return _journal(config).exists()


def _write_journal(config: Config, data: dict[str, Any]) -> None:
    partial = _journal(config).with_suffix(".partial")
    with partial.open("w") as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(_journal(config))


def swap(copy: copies.Copy, suffix: str) -> None:
    """Put the live data aside and the copy in its place, all of it or none, and start MLflow on it.

    With a copy of the database only, the live artifacts stay where they are.
    """
    config = copy.config
    aside = config.store.with_name(f"{config.store.name}.before-{suffix}")
    old = f"{config.database}_before_{suffix}"
    secrets = config.config_path / "secrets"
    # Whole before the journal says that they may be put back.
    shutil.copytree(secrets, config.state_path / f"secrets.before-{suffix}", dirs_exist_ok=True)
    journal = {"suffix": suffix, "copy_store": str(copy.store), "copy_database": copy.place.database, "done": False}
    _write_journal(config, journal)
    try:
        service.stop(config)
        postgresql.rename(config, config.database, old)
        postgresql.rename(config, copy.place.database, config.database)
        if not copy.database_only:
            _drop_uploads(config)
            _move(config, config.store, aside)
            _move(config, copy.store, config.store)
        for name in host_files.SECRETS:
            partial = secrets / f"{name}.partial"
            partial.write_bytes(host_files.secret(copy, name))
            os.chmod(partial, 0o600)
            partial.rename(secrets / name)
    except BaseException:
        _put_back(config)
        raise
    _write_journal(config, journal | {"done": True})
    service.start(config)
    _journal(config).unlink()


def _drop_uploads(config: Config) -> None:
    """Forget the uploads that nginx is still collecting, so that none of them ends up in the restored store.

    nginx renames one into the store when it is whole; with nothing to rename
    it answers 500, and the client begins again.
    """
    if beneath.is_directory(config.volume_path, "incoming"):
        for name, _ in list(beneath.walk(config.volume_path, "incoming")):
            beneath.remove(config.volume_path, f"incoming/{name}")


def _move(config: Config, source: Path, target: Path) -> None:
    """Rename a directory on the volume.

    Raises:
        ControlError: something has the new name already, or a link is in the way.
    """
    volume = config.volume_path
    if not beneath.rename(volume, source.relative_to(volume), target.relative_to(volume)):
        raise ControlError(f"{target} is there already, so {source} cannot take its place")


def _put_back(config: Config) -> None:
    """Undo and start; the journal goes last, so that whatever ends this, it is done again."""
    service.stop(config)
    undo(config)
    service.start(config)
    _journal(config).unlink()


def undo(config: Config) -> None:
    """Take back what the journal says was begun; harmless at any stage, and twice."""
    data = json.loads(_journal(config).read_text())
    suffix = data["suffix"]
    old = f"{config.database}_before_{suffix}"
    aside = config.store.with_name(f"{config.store.name}.before-{suffix}")
    kept = config.state_path / f"secrets.before-{suffix}"
    if beneath.look(config.volume_path, aside.name):
        if beneath.look(config.volume_path, config.store.name):
            _move(config, config.store, Path(data["copy_store"]))
        _move(config, aside, config.store)
    if postgresql.exists(config, old):
        if postgresql.exists(config, config.database):
            postgresql.rename(config, config.database, data["copy_database"])
        postgresql.rename(config, old, config.database)
    for name in host_files.SECRETS:
        if (kept / name).is_file():
            shutil.copy2(kept / name, config.config_path / "secrets" / name)


def recover(config: Config, say: Say) -> bool:
    """Finish or undo a swap that was killed. Returns whether there was one."""
    if not pending(config):
        return False
    if json.loads(_journal(config).read_text())["done"]:
        say("a restore was interrupted after its swap: starting MLflow on the restored data")
        service.start(config)
        _journal(config).unlink()
    else:
        say("a swap was interrupted: putting the old data back")
        _put_back(config)
    return True
