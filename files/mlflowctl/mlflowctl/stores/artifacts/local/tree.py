"""A directory of artifacts. Links are never followed, neither inside nor in place of the directory itself."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from mlflowctl.core import beneath
from mlflowctl.core.config import Instance
from mlflowctl.core.descent import Owner, chown_itself
from mlflowctl.core.errors import ControlError
from mlflowctl.stores.artifacts.base import Tree
from mlflowctl.stores.references import ANYTHING, uploading


class LocalTree(Tree):
    """A directory on the volume.

    Args:
        volume: the volume, which only root can replace.
        instance: whose service uses it.
        root: a directory on it, or the volume itself, that only root can replace.
        below: the path of the artifacts from there.
    """

    def __init__(self, volume: Path, instance: Instance, root: Path, below: str) -> None:
        self._volume = volume
        self._instance = instance
        self._root = root
        self._below = below
        self.address = str(root / below)

    def list(self) -> Iterator[tuple[str, int]]:
        """Regular files."""
        return beneath.walk(self._root, self._below)

    def holds(self, path: str, need: str) -> bool:
        """Regular files only."""
        return is_present(self._root, self._below, path, need)

    def own(self) -> None:
        """Change the owner, and set the setgid bit of the directories."""
        beneath.chown(self._root, self._below, self._owner())

    def _owner(self) -> Owner:
        return Owner.named(self._instance.user, self._instance.group)

    def serve(self) -> dict[str, str]:
        """Give the copy a volume's sentinel, and let the service enter it."""
        place = Path(self.address).parent
        sentinel = place / ".volume-id"
        sentinel.write_text("drill\n")
        chown_itself(sentinel, Owner.named(self._instance.user, self._instance.user))
        # The directories above the copy belong to root; the service needs to enter them.
        for directory in [place, *place.parents]:
            if directory == self._volume:
                break
            chown_itself(directory, self._owner())
        return {
            "MLFLOW_ARTIFACTS_DESTINATION": self.address,
            "MLFLOW_VOLUME_PATH": str(place),
            "MLFLOW_VOLUME_ID_FILE": str(sentinel),
        }


def is_present(root: Path, below: str, path: str, need: str) -> bool:
    """Whether a directory holds the needed files now, as regular files that a point includes, without links.

    Args:
        root: a directory that only root can replace.
        below: the path of the artifacts from there.
        path: below that; empty if the reference leads nowhere.
        need: as of :class:`mlflowctl.stores.references.Reference`.
    """
    if not path or uploading(path):
        return False
    place = f"{below}/{path}"
    try:
        found = beneath.lstat(root, place if need == ANYTHING else f"{place}/{need}")
        if found is None or need != ANYTHING or not stat.S_ISDIR(found.st_mode):
            return found is not None and stat.S_ISREG(found.st_mode)
        return any(not uploading(name) for name, _ in beneath.walk(root, place))
    except (OSError, ValueError, ControlError):
        return False
