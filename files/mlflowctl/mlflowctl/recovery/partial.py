"""Restore a part of a recovery point into the live store: the artifacts of one run or one model.

The live database says where they belong, so the row must still exist, marked as
deleted or not. Existing files are not overwritten.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core import beneath, descent
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.printable import shortened
from mlflowctl.core.progress import Log
from mlflowctl.recovery import compatibility, copies, restored
from mlflowctl.recovery.checker import Files
from mlflowctl.recovery.repository import Restic
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


def restore_part(config: Config, repository: Restic, place: copies.Place, part: Part, log: Log) -> dict[str, Any]:
    """Restore a part of a point into the live store.

    Raises:
        Refused: the live database has no row for the part.
        ControlError: the point does not hold it, or the restored copy is not complete.
    """
    point, root = place.point, place.root
    with stores.database.of(config).reader() as reader:
        path = where(reader, config.artifacts.store, part)
    live = f"{config.artifacts.store.name}/{path}"
    facts = restored.facts(config, repository, point, root)
    prefix = f"{path}/"
    wanted = {
        name: size for name, size in restored.listing(repository, point, facts).sizes.items() if name.startswith(prefix)
    }
    if not wanted:
        raise Refused(f"point {point.name} holds no artifacts of {part.kind} {part.name}: use another point")
    compatibility.refuse_without_space(config, root, sum(wanted.values()))
    log(f"restoring {len(wanted)} files of {part.kind} {part.name}")
    repository.restore(point.snapshot, root, include=[restored.literal(f"{facts['store']}/{path}")])
    copy = root.relative_to(config.artifacts.path) / str(facts["store"]).lstrip("/") / path
    arrived = Files((prefix + name, size) for name, size in beneath.walk(config.artifacts.path, copy)).sizes
    lost = [name for name, size in wanted.items() if arrived.get(name) != size]
    if lost:
        raise ControlError(f"the copy lacks {len(lost)} files, first: {lost[0]}. The live data was not changed")
    beneath.chown(config.artifacts.path, copy, descent.Owner.named(config.instance.user, config.instance.group))
    suffix = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    put_aside = ""
    if part.replace_live and beneath.lstat(config.artifacts.path, live):
        beneath.rename(config.artifacts.path, live, f"{config.artifacts.store.name}.before-{suffix}/{path}")
        put_aside = suffix
    done = merge(config, copy, live)
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


def where(reader: Reader, store: Path, part: Part) -> str:
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
    path = Resolver(store, located.models, located.runs, {}).path(found[0])
    if not path:
        raise Refused(f"the artifacts of {part.kind} {part.name} are at {shortened(found[0])}, which no point holds")
    return path


def merge(config: Config, source: str | Path, target: str) -> Merged:
    """Move missing files into the store, each by one rename that replaces nothing.

    Args:
        config: the instance.
        source: directory of the files, below the volume.
        target: the directory they belong to, below the volume.
    """
    owner, done = descent.Owner.named(config.instance.user, config.instance.group), Merged()
    for name, _ in list(beneath.walk(config.artifacts.path, source)):
        try:
            if beneath.rename(config.artifacts.path, f"{source}/{name}", f"{target}/{name}", owner):
                done.moved += 1
            else:
                done.existing += 1
        except descent.UnsafePath as error:
            done.refused.append(str(error))
    return done
