"""A recovery point that is restored beside the live data: which one, where, and which parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core.config import Config
from mlflowctl.recovery.repository import Point
from mlflowctl.stores.artifacts.base import Tree


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
    def artifacts(self) -> Tree:
        """The artifacts that belong to the copy."""
        live = stores.artifacts.of(self.config)
        return live if self.database_only else live.restored(self.place.root, self.facts["store"])

    @property
    def stage(self) -> Path:
        """The restored dump, manifest and bundle."""
        return self.place.root / str(self.config.instance.stage).lstrip("/")
