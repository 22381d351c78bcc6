"""A recovery point that is restored beside the live data: which one, where, and which parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflowctl.core import beneath
from mlflowctl.core.config import Config
from mlflowctl.core.descent import Owner
from mlflowctl.recovery.repository import Point


@dataclass(frozen=True)
class Place:
    """Where a point is restored to.

    Attributes:
        point: which one.
        root: directory that restic restores below.
        database: name of the scratch database.
    """

    point: Point
    root: Path
    database: str


@dataclass(frozen=True)
class Selection:
    """Which parts of a point are restored.

    Attributes:
        database_only: no artifacts.
        database_at: the database comes from the WAL archive, as of this time; ``point``: the point's own moment.
    """

    database_only: bool = False
    database_at: str | None = None


WHOLE = Selection()


@dataclass(frozen=True)
class Copy:
    """A restored copy that is not live.

    Attributes:
        place: where it is.
        config: the instance.
        facts: the point's own manifest.
        database_only: it has no artifacts: the live ones stay.
    """

    place: Place
    config: Config
    facts: dict[str, Any]
    database_only: bool = False

    @property
    def store(self) -> Path:
        """The artifacts that belong to the copy."""
        if self.database_only:
            return self.config.artifacts.store
        return self.place.root / str(self.facts["store"]).lstrip("/")

    @property
    def _root(self) -> Path:
        """The directory above the artifacts that only root can write."""
        return self.config.artifacts.path if self.database_only else self.place.root

    def walk(self) -> Iterator[tuple[str, int]]:
        """The artifacts and their sizes."""
        return beneath.walk(self._root, self.store.relative_to(self._root))

    def chown(self) -> None:
        """Make the service the owner of the artifacts."""
        owner = Owner.named(self.config.instance.user, self.config.instance.group)
        beneath.chown(self._root, self.store.relative_to(self._root), owner)

    @property
    def stage(self) -> Path:
        """The restored dump, manifest and bundle."""
        return self.place.root / str(self.config.instance.stage).lstrip("/")
