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

from mlflowctl.core import beneath, trees
from mlflowctl.core.errors import ControlError
from mlflowctl.core.process import run
from mlflowctl.stores.references import UPLOADING

# btrfs takes a moment, whatever the size; the time of reflink grows with the number of files.
KINDS = ("none", "btrfs", "reflink")


class FrozenCopy:
    """The copy of a directory on a volume.

    Attributes:
        place: the directory on the volume that holds the copy.
        source: what a point copies: the frozen copy of the store, or the store itself.
    """

    def __init__(self, volume: Path, store: str, kind: str) -> None:
        self._volume = volume
        self._store = volume / store
        self._kind = kind
        self.place = volume / ".point"
        self.source = self._store if kind == "none" else self.place / store

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the copy, if configured, and remove it at the end.

        Raises:
            ControlError: the volume's file system does not support it.
        """
        self.remove()
        try:
            if self._kind == "btrfs":
                self._try(["btrfs", "subvolume", "snapshot", "-r", str(self._volume), str(self.place)])
            elif self._kind == "reflink":
                self.place.mkdir(mode=0o700)
                # An upload in progress is renamed when it is complete, so it may vanish while it is copied.
                command = ["cp", "--archive", "--reflink=always", str(self._store), str(self.place)]
                self._try(command, ignore=lambda line: UPLOADING in line and "No such file or directory" in line)
            yield
        finally:
            self.remove()

    def remove(self) -> None:
        """Remove the copy, of any kind, also one that an interrupted backup has left."""
        found = beneath.lstat(self._volume, self.place.name)
        # Only a subvolume's root has this inode number on btrfs.
        if found and (found.st_ino, found.st_dev != self._volume.stat().st_dev) == (256, True):
            run(["btrfs", "subvolume", "delete", str(self.place)])
        else:
            trees.remove(self.place)

    def _try(self, command: list[str], ignore: Callable[[str], bool] = lambda line: False) -> None:
        done = run(command, {"LC_ALL": "C"}, accept=range(256))
        words = [line for line in done.stderr.splitlines() if not ignore(line)]
        if done.returncode and (words or not done.stderr):
            message = " ".join(words)[-500:] or f"{command[0]} ended with {done.returncode}"
            raise ControlError(
                f"mlflow_backup_snapshot is {self._kind!r}, and {self._volume} does not support it: {message}. "
                "Set it to none, or move the volume to btrfs or XFS"
            )
