"""A frozen copy of the store, made by the file system, so that deletions are blocked for a moment only.

Without it the store itself is copied, and deletions are blocked until that is done.
The copy has a constant path, because restic recognizes known files by path.

Sources: btrfs-subvolume(8); cp(1) ``--reflink``; XFS shares extents since
Debian 10 (mkfs.xfs ``reflink=1`` is the default).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflowctl.core import beneath
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.core.process import run
from mlflowctl.stores.artifacts import trees
from mlflowctl.stores.references import UPLOADING

# btrfs takes a moment, whatever the size; the time of reflink grows with the number of files.
KINDS = ("none", "btrfs", "reflink")


def place(config: Config) -> Path:
    """The directory on the volume that holds the copy."""
    return config.artifacts.path / ".point"


def source(config: Config) -> Path:
    """What a point copies: the frozen copy of the store, or the store itself."""
    return config.artifacts.store if config.recovery.snapshot == "none" else place(config) / config.artifacts.store.name


@contextmanager
def frozen(config: Config) -> Iterator[Path]:
    """Make the copy, if configured, and remove it at the end.

    Raises:
        ControlError: the volume's file system does not support it.
    """
    remove(config)
    try:
        if config.recovery.snapshot == "btrfs":
            _try(["btrfs", "subvolume", "snapshot", "-r", str(config.artifacts.path), str(place(config))], config)
        elif config.recovery.snapshot == "reflink":
            place(config).mkdir(mode=0o700)
            # An upload in progress is renamed when it is complete, so it may vanish while it is copied.
            command = ["cp", "--archive", "--reflink=always", str(config.artifacts.store), str(place(config))]
            _try(command, config, ignore=lambda line: UPLOADING in line and "No such file or directory" in line)
        yield source(config)
    finally:
        remove(config)


def remove(config: Config) -> None:
    """Remove the copy, of any kind, also one that an interrupted backup has left."""
    path = place(config)
    found = beneath.lstat(config.artifacts.path, path.name)
    # Only a subvolume's root has this inode number on btrfs.
    if found and (found.st_ino, found.st_dev != config.artifacts.path.stat().st_dev) == (256, True):
        run(["btrfs", "subvolume", "delete", str(path)])
    else:
        trees.remove(path)


def _try(command: list[str], config: Config, ignore: Callable[[str], bool] = lambda line: False) -> None:
    done = run(command, {"LC_ALL": "C"}, accept=range(256))
    words = [line for line in done.stderr.splitlines() if not ignore(line)]
    if done.returncode and (words or not done.stderr):
        message = " ".join(words)[-500:] or f"{command[0]} ended with {done.returncode}"
        raise ControlError(
            f"mlflow_backup_snapshot is {config.recovery.snapshot!r}, and {config.artifacts.path} does not support it: "
            f"{message}. Set it to none, or move the volume to btrfs or XFS"
        )
