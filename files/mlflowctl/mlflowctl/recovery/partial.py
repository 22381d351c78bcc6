"""Restore a part of a recovery point into the live store: the artifacts of one run or one model.

The live database says where they belong, so the row must still exist, marked as
deleted or not. Existing files are not overwritten.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from mlflowctl import stores
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.printable import shortened
from mlflowctl.core.progress import Log
from mlflowctl.recovery import compatibility, copies, restored
from mlflowctl.recovery.checker import Files
from mlflowctl.recovery.repository import Contents, Restic
from mlflowctl.stores.artifacts.base import ArtifactStore
from mlflowctl.stores.database.base import Reader
from mlflowctl.stores.references import Resolver


@dataclass(frozen=True)
class Part:
    """The part to restore.

    Attributes:
        kind: ``run`` or ``model``.
        name: a run's ID; a logged model's ID, or ``NAME/VERSION`` of a registered model.
        replace_live: set the live directory aside and replace it by the point's;
            otherwise only missing files are restored.
    """

    kind: str
    name: str
    replace_live: bool = False


def restore_part(config: Config, repository: Restic, place: copies.Place, part: Part, log: Log) -> dict[str, Any]:
    """Restore a part of a point into the live store.

    Raises:
        Refused: the live database has no row for the part.
        ControlError: the point does not hold it, or the restored copy is not complete.
    """
    point, root = place.point, place.root
    artifacts = stores.artifacts.of(config)
    with stores.database.of(config).reader() as reader:
        path = where(reader, artifacts, part)
    facts = restored.facts(config.instance, repository, point, root)
    prefix = f"{path}/"
    held = restored.listing(artifacts, repository, point, facts).sizes
    wanted = {name: size for name, size in held.items() if name.startswith(prefix)}
    if not wanted:
        raise Refused(f"point {point.name} holds no artifacts of {part.kind} {part.name}: use another point")
    compatibility.refuse_without_space(artifacts, root, sum(wanted.values()))
    log(f"restoring {len(wanted)} files of {part.kind} {part.name}")
    copy = artifacts.fetch(Contents(repository, point.snapshot), facts["store"], root, path)
    arrived = Files((prefix + name, size) for name, size in copy.list()).sizes
    lost = [name for name, size in wanted.items() if arrived.get(name) != size]
    if lost:
        raise ControlError(f"the copy lacks {len(lost)} files, first: {lost[0]}. The live data was not changed")
    copy.own()
    suffix = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    put_aside = suffix if part.replace_live and artifacts.set_part_aside(path, suffix) else ""
    done = artifacts.merge(copy, path)
    log(f"{done.moved} files were restored, {done.existing} existed")
    if done.refused:
        raise ControlError(
            f"{len(done.refused)} files of {part.kind} {part.name} are still missing, first: {done.refused[0]}. "
            "The point still has them: run the restore again"
        )
    return {
        "point": point.name,
        part.kind: part.name,
        "came_back": done.moved,
        "stayed": done.existing,
        "put_aside": put_aside,
    }


def where(reader: Reader, artifacts: ArtifactStore, part: Part) -> str:
    """The directory of a part below the store, according to the live database.

    Raises:
        Refused: there is no such row, or its artifacts are elsewhere.
    """
    name, _, version = part.name.rpartition("/")
    if part.kind == "run":
        found = reader.run_location(part.name)
    elif not name:
        found = reader.model_location(part.name)
    else:
        found = reader.version_location(name, version)
    if not found:
        raise Refused(
            f"the live database has no {part.kind} {part.name}: only a restore of the whole point "
            "brings its row back (a deleted run's row stays until `mlflowctl gc`)"
        )
    located = reader.locations()
    path = Resolver(artifacts.own_path, located.models, located.runs, {}).path(found[0])
    if not path:
        raise Refused(f"the artifacts of {part.kind} {part.name} are at {shortened(found[0])}, which no point holds")
    return path
