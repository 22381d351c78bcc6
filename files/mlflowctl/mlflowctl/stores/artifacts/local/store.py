"""A volume as an artifact store: copies are on it, too, so that a swap is a rename.

Below the volume are: ``store``, the live artifacts; ``.volume-id``, which volume it is; ``incoming``, uploads that
nginx receives; ``.point``, a frozen copy; ``drill`` and ``restore-…``, copies of points; ``store.before-SUFFIX`` and
``store.orphans-SUFFIX``, what was set aside.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlflowctl.core import beneath, descent, trees
from mlflowctl.core import config as configuration
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.errors import ControlError
from mlflowctl.stores.artifacts.base import ArtifactStore, Contents, Merged, Tree
from mlflowctl.stores.artifacts.local.frozen import FrozenCopy
from mlflowctl.stores.artifacts.local.tree import LocalTree

STORE, INCOMING = "store", "incoming"


@dataclass(frozen=True)
class Settings:
    """A volume.

    Attributes:
        path: where it is mounted; absolute.
        full_file: exists while uploads are refused because the volume is full.
    """

    path: Path
    full_file: Path


class LocalVolume(LocalTree, ArtifactStore):
    """The artifacts on a volume of this host.

    Args:
        settings: of the volume.
        instance: whose service uses it.
        snapshot: how the store is frozen while it is copied: ``none``, ``btrfs``, ``reflink``.
    """

    def __init__(self, settings: Settings, instance: Instance, snapshot: str) -> None:
        self.volume = settings.path
        super().__init__(self.volume, instance, self.volume, STORE)
        self.where = str(self.volume)
        self.directories = (self.volume,)
        self.frozen = FrozenCopy(self.volume, STORE, snapshot)
        self.deletions_wait = snapshot == "none"
        self.renewed = snapshot == "reflink"
        self._full_file = settings.full_file

    @classmethod
    def of(cls, config: Config) -> Self:
        """The store of the configuration."""
        settings = configuration.part(Settings, config.artifacts.settings, config.artifacts.where)
        return cls(settings, config.instance, config.recovery.snapshot)

    def check(self) -> None:
        """Refuse a missing or wrong volume."""
        sentinel = self.volume / ".volume-id"
        try:
            found = sentinel.read_text().strip()
            expected = (self._instance.config_path / "volume-id").read_text().strip()
        except OSError as error:
            raise ControlError(
                f"{error.filename} cannot be read ({error.strerror}): is the artifact volume mounted?"
            ) from error
        if found != expected:
            raise ControlError(f"{self.volume} is volume {found}, but this host serves {expected}: mount the right one")
        if not beneath.is_directory(self.volume, STORE):
            raise ControlError(f"{self.address} is missing, or not a directory: run the playbook again")

    def full(self) -> str:
        """As the service says."""
        if not self._full_file.exists():
            return ""
        return (
            "uploads are refused: the artifact volume has less free space than mlflow_volume_reserve_mb."
            " Free some space, for example with mlflowctl gc"
        )

    def free(self) -> int | None:
        """Free bytes of the volume."""
        return shutil.disk_usage(self.volume).free

    def shares_disk(self, path: Path) -> bool:
        """Whether both are on one file system."""
        return path.exists() and self.volume.exists() and path.stat().st_dev == self.volume.stat().st_dev

    def exists(self) -> bool:
        """Whether the directory exists."""
        return Path(self.address).is_dir()

    def own_path(self, scheme: str, host: str, path: str) -> str | None:
        """A path, or ``file:`` and a path."""
        return below(self.address, scheme, path)

    def size(self, path: str) -> int:
        """Bytes of the regular files."""
        try:
            return sum(size for _, size in beneath.walk(self.volume, f"{STORE}/{path}"))
        except (OSError, descent.UnsafePath):
            return 0

    def set_part_aside(self, path: str, suffix: str) -> bool:
        """Rename it to the same path below the directory of the suffix."""
        live = f"{STORE}/{path}"
        if not beneath.lstat(self.volume, live):
            return False
        beneath.rename(self.volume, live, f"{self._aside(suffix).name}/{path}")
        return True

    def merge(self, source: Tree, path: str) -> Merged:
        """Each file by one rename that replaces nothing."""
        begin, target = self._relative(source.address), f"{STORE}/{path}" if path else STORE
        owner, done = self._owner(), Merged()
        for name, _ in list(beneath.walk(self.volume, begin)):
            try:
                if beneath.rename(self.volume, f"{begin}/{name}", f"{target}/{name}", owner):
                    done.moved += 1
                else:
                    done.existing += 1
            except descent.UnsafePath as error:
                done.refused.append(str(error))
        return done

    def _relative(self, address: str) -> Path:
        return Path(address).relative_to(self.volume)

    def freeze(self) -> AbstractContextManager[None]:
        """A frozen copy by the file system."""
        return self.frozen.made()

    @property
    def source(self) -> Tree:
        """The frozen copy, if there is to be one."""
        place = self.frozen.source
        return LocalTree(self.volume, self._instance, place.parent, place.name)

    @property
    def copied(self) -> Sequence[Path]:
        """The same."""
        return [self.frozen.source]

    def listing(self, contents: Contents, address: str) -> Iterator[tuple[str, int]]:
        """What the point copied from there, wherever the volume was mounted then."""
        prefix = f"{address}/"
        return ((path.removeprefix(prefix), size) for path, size in contents.files() if path.startswith(prefix))

    def scratch(self, purpose: str) -> Path:
        """On the volume, so that a swap is a rename."""
        return self.volume / purpose

    def scratches(self, prefix: str) -> Sequence[Path]:
        """By name."""
        return list(self.volume.glob(f"{prefix}*"))

    def fetch(self, contents: Contents, address: str, root: Path, path: str = "") -> Tree:
        """The point has them as files; an empty store is made."""
        contents.restore(f"{address}/{path}" if path else address, root)
        if not path:
            with descent.opened(root, address.lstrip("/"), make=True):
                pass
        return self.restored(root, address, path)

    def restored(self, root: Path, address: str, path: str = "") -> Tree:
        """They are at the same path below the root."""
        found = address.lstrip("/")
        return LocalTree(self.volume, self._instance, root, f"{found}/{path}" if path else found)

    def swap(self, copy: Tree, suffix: str) -> None:
        """Two renames, after the uploads in progress are removed."""
        self.drop_uploads()
        self.move(Path(self.address), self._aside(suffix))
        self.move(Path(copy.address), Path(self.address))

    def swap_back(self, address: str, suffix: str) -> None:
        """The same backwards, as far as they were done."""
        aside = self._aside(suffix)
        if beneath.lstat(self.volume, aside.name):
            if beneath.lstat(self.volume, STORE):
                self.move(Path(self.address), Path(address))
            self.move(aside, Path(self.address))

    def drop_uploads(self) -> None:
        """Remove the uploads that nginx is still receiving, so that none gets into the restored store.

        nginx renames a complete upload into the store; with nothing to rename it
        answers 500, and the client starts again.
        """
        if beneath.is_directory(self.volume, INCOMING):
            for name, _ in list(beneath.walk(self.volume, INCOMING)):
                beneath.remove(self.volume, f"{INCOMING}/{name}")

    def move(self, source: Path, target: Path) -> None:
        """Rename a directory on the volume.

        Raises:
            ControlError: the target exists, or a component of a path is a link.
        """
        if not beneath.rename(self.volume, source.relative_to(self.volume), target.relative_to(self.volume)):
            raise ControlError(f"{target} exists already, so {source} cannot be renamed to it")

    def _aside(self, suffix: str) -> Path:
        return self.volume / f"{STORE}.before-{suffix}"

    def quarantine_path(self, suffix: str) -> Path:
        """The directory of the orphans of one quarantine."""
        return self.volume / f"{STORE}.orphans-{suffix}"

    def set_aside(self) -> set[str]:
        """By the names of directories."""
        found = {path.name.rsplit(".before-", 1)[1] for path in self.volume.glob(f"{STORE}.before-*")}
        return found | {path.name.rsplit("-", 1)[1] for path in self.volume.glob(f"{STORE}.orphans-*")}

    def size_aside(self, suffix: str) -> int | None:
        """Bytes of the regular files."""
        return trees.size(self._aside(suffix))

    def drop_aside(self, suffix: str) -> None:
        """Remove the directory."""
        trees.remove(self._aside(suffix))

    def quarantine(self, path: str, before: float, suffix: str) -> bool:
        """Rename it to the same path below the directory of the suffix."""
        source = f"{STORE}/{path}"
        found = beneath.lstat(self.volume, source)
        if found is None or found.st_mtime >= before:
            return False
        try:
            return beneath.rename(self.volume, source, f"{self.quarantine_path(suffix).name}/{path}")
        except FileNotFoundError:
            return False

    def quarantined(self, suffix: str) -> Tree | None:
        """A directory that is no link."""
        name = self.quarantine_path(suffix).name
        if not beneath.is_directory(self.volume, name):
            return None
        return LocalTree(self.volume, self._instance, self.volume, name)

    def drop_quarantine(self, suffix: str) -> None:
        """Remove the directory."""
        trees.remove(self.quarantine_path(suffix))


def below(store: str, scheme: str, path: str) -> str | None:
    """The path below a store of a plain path, or of ``file:`` and a path; ``None`` if it leads elsewhere."""
    prefix = store.rstrip("/") + "/"
    return path[len(prefix) :] if scheme in ("file", "") and path.startswith(prefix) else None
