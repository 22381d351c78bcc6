"""What mlflowctl needs of an artifact store. Each store is one implementation of :class:`ArtifactStore`.

Paths of artifacts are relative to the store, with ``/`` between their parts; no other module turns one into an address.
Sizes are in bytes, times in seconds since 1970. What cannot be done raises a ``ControlError``, whose message says what
is wrong and what to do. Clients choose the store's content: an implementation must never follow a link out of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from mlflowctl.core.config import Config


@dataclass
class Merged:
    """The result of moving files into the store.

    Attributes:
        moved: how many were moved.
        existing: how many existed already.
        refused: why the others were not moved, as sentences.
    """

    moved: int = 0
    existing: int = 0
    refused: list[str] = field(default_factory=list)


class Contents(Protocol):
    """A recovery point in its repository, as far as a store needs it."""

    def files(self) -> Iterator[tuple[str, int]]:
        """The regular files that were copied, by their absolute paths on the host that took the point, with sizes."""

    def restore(self, path: str, root: Path) -> None:
        """Restore such a path and all below it to a directory."""


class Tree(ABC):
    """Artifacts in one place: the live ones, those that a point copies, or a restored copy.

    Attributes:
        address: where they are, absolute; a point's description records it.
    """

    address: str

    @abstractmethod
    def list(self) -> Iterator[tuple[str, int]]:
        """All artifacts by path, with their sizes.

        Raises:
            ControlError: they cannot be listed.
            FileNotFoundError: the place does not exist.
        """

    @abstractmethod
    def holds(self, path: str, need: str) -> bool:
        """Whether what a reference needs exists here, and a point includes it. Never raises.

        Args:
            path: of a directory; empty if the reference leads nowhere.
            need: file in it, or :data:`mlflowctl.stores.references.ANYTHING`.
        """

    @abstractmethod
    def own(self) -> None:
        """Make the service the owner of all of them, if that means anything here.

        Raises:
            ControlError: a file also belongs to something else.
        """

    @abstractmethod
    def serve(self) -> dict[str, str]:
        """Prepare them for a second server; returns the environment that makes it use them."""


class ArtifactStore(Tree):
    """An artifact store: the live artifacts, and copies of them beside it. Attributes are constant.

    Attributes:
        where: what messages call it: a path, or a bucket.
        directories: where it is on this host, for their free space; none if it is elsewhere.
        deletions_wait: whether deletions must wait until a point is copied; otherwise until :meth:`freeze` is done.
        renewed: whether files that have not changed look new in each frozen copy, so that only their size and time
            of change may be compared.
    """

    where: str
    directories: tuple[Path, ...]
    deletions_wait: bool
    renewed: bool

    @classmethod
    @abstractmethod
    def of(cls, config: Config) -> Self:
        """The store of the configuration, whose table ``artifacts`` has the settings.

        Raises:
            ControlError: a setting is missing or unknown.
        """

    # --- checks -----------------------------------------------------------
    @abstractmethod
    def check(self) -> None:
        """Refuse a store that is missing, or another one than this server's.

        Raises:
            ControlError: what is wrong.
        """

    @abstractmethod
    def full(self) -> str:
        """Why uploads are refused for want of space; empty if they are not."""

    @abstractmethod
    def free(self) -> int | None:
        """Bytes that a restored copy may take; ``None`` if there is no limit."""

    @abstractmethod
    def shares_disk(self, path: Path) -> bool:
        """Whether a path of this host would be lost with the store."""

    # --- the live artifacts -----------------------------------------------
    @abstractmethod
    def exists(self) -> bool:
        """Whether there is a store, empty or not."""

    @abstractmethod
    def own_path(self, scheme: str, host: str, path: str) -> str | None:
        """The path below the store of a URI in a form of its own, not normalized; ``None`` if it leads elsewhere.

        Args:
            scheme: of the URI; empty for a plain path. ``mlflow-artifacts``, ``models`` and ``runs`` are the same
                for all stores, and do not come here.
            host: of the URI.
            path: of the URI, decoded.
        """

    @abstractmethod
    def size(self, path: str) -> int:
        """Bytes below a directory; 0 if it is not one."""

    @abstractmethod
    def set_part_aside(self, path: str, suffix: str) -> bool:
        """Set a directory or file aside under a suffix, if it exists; returns whether it did."""

    @abstractmethod
    def merge(self, source: Tree, path: str) -> Merged:
        """Move files that are missing below a path of the store to there; what exists is not replaced.

        Args:
            source: a copy that :meth:`fetch` has made, or a quarantine.
            path: the directory that they belong to; empty for the whole store.
        """

    # --- points -----------------------------------------------------------
    @abstractmethod
    def freeze(self) -> AbstractContextManager[None]:
        """Keep what a point copies as it is until the end, if the store can, and remove that afterwards.

        Raises:
            ControlError: it is configured, and the store cannot.
        """

    @property
    @abstractmethod
    def source(self) -> Tree:
        """What a point copies: a frozen copy between :meth:`freeze` and its end, or the store itself."""

    @property
    @abstractmethod
    def copied(self) -> Sequence[Path]:
        """The directories of this host that a point includes; none if a store keeps what points need itself."""

    @abstractmethod
    def listing(self, contents: Contents, address: str) -> Iterator[tuple[str, int]]:
        """The artifacts of a point, by path, with their sizes.

        Args:
            contents: of the point.
            address: of its artifacts, as its description records it.
        """

    # --- copies -----------------------------------------------------------
    @abstractmethod
    def scratch(self, purpose: str) -> Path:
        """A directory of this host for a point's files. The same each time, so that a rest is found."""

    @abstractmethod
    def scratches(self, prefix: str) -> Sequence[Path]:
        """The existing directories whose purpose begins with a prefix."""

    @abstractmethod
    def fetch(self, contents: Contents, address: str, root: Path, path: str = "") -> Tree:
        """Restore the artifacts of a point beside the live ones.

        Args:
            contents: of the point.
            address: of its artifacts, as its description records it.
            root: a directory from :meth:`scratch`.
            path: only what is below it; empty for all of them.
        """

    @abstractmethod
    def restored(self, root: Path, address: str, path: str = "") -> Tree:
        """What :meth:`fetch` has restored with the same arguments."""

    # --- swap, and what is set aside --------------------------------------
    @abstractmethod
    def swap(self, copy: Tree, suffix: str) -> None:
        """Set the live artifacts aside under a suffix, and put a copy in their place. MLflow is stopped.

        Raises:
            ControlError: something of that suffix exists already.
        """

    @abstractmethod
    def swap_back(self, address: str, suffix: str) -> None:
        """Undo :meth:`swap`, at whatever stage it was interrupted, or not begun; can be repeated.

        Args:
            address: of the copy, before it was swapped.
            suffix: as for the swap.
        """

    @abstractmethod
    def set_aside(self) -> set[str]:
        """The suffixes of all that was set aside, by swaps, as parts, and by quarantines."""

    @abstractmethod
    def size_aside(self, suffix: str) -> int | None:
        """Bytes that a swap, or the replacement of a part, has set aside; ``None`` if there is nothing."""

    @abstractmethod
    def drop_aside(self, suffix: str) -> None:
        """Delete that, if it exists."""

    @abstractmethod
    def quarantine(self, path: str, before: float, suffix: str) -> bool:
        """Set one file aside in the quarantine of a suffix, unless it has changed since a time; returns whether it did.

        Raises:
            UnsafePath: a part of its path is no longer a directory.
        """

    @abstractmethod
    def quarantined(self, suffix: str) -> Tree | None:
        """The files of a quarantine; ``None`` if there is none of that suffix."""

    @abstractmethod
    def drop_quarantine(self, suffix: str) -> None:
        """Delete a quarantine, if it exists."""
