"""Bring back a part of a recovery point: the artifacts of one run or one model, beside what lives.

The live database says where they belong; so its row must still be there,
marked as deleted or not. Nothing that exists is overwritten.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from mlflowctl.core import beneath, descent
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.printable import shortened
from mlflowctl.recovery import copies, fitting, restored
from mlflowctl.recovery.backup import Say
from mlflowctl.recovery.checker import Files
from mlflowctl.recovery.repository import Restic
from mlflowctl.stores.database import postgresql
from mlflowctl.stores.database.references import Resolver


@dataclass(frozen=True)
class Part:
    """What is to come back.

    Attributes:
        kind: ``run`` or ``model``.
        name: a run's ID; a logged model's ID, or ``NAME/VERSION`` of a registered model.
        replace_live: put aside what the live directory holds, and take the point's in its place;
            otherwise only what is missing comes back.
    """

    kind: str
    name: str
    replace_live: bool = False


@dataclass
class Merged:
    """What became of files that were to move into the store.

    Attributes:
        came: how many did.
        stayed: how many were there already.
        refused: why the others did not, each a sentence for a person.
    """

    came: int = 0
    stayed: int = 0
    refused: list[str] = field(default_factory=list)


def bring_back(config: Config, repository: Restic, place: copies.Place, part: Part, say: Say) -> dict[str, Any]:
    """Restore a part of a point into the live store.

    Raises:
        Refused: the live database does not know the part.
        ControlError: the point does not hold it, or it does not arrive whole.
    """
    point, root = place.point, place.root
    with postgresql.connect(config) as connection:
        path = where(connection, config.store, part)
    live = f"{config.store.name}/{path}"
    facts = restored.facts(config, repository, point, root)
    prefix = f"{path}/"
    wanted = {
        name: size for name, size in restored.listing(repository, point, facts).sizes.items() if name.startswith(prefix)
    }
    if not wanted:
        raise Refused(f"point {point.name} holds no artifacts of {part.kind} {part.name}: take another point")
    fitting.refuse_without_space(config, root, sum(wanted.values()))
    say(f"restoring {len(wanted)} files of {part.kind} {part.name}")
    repository.restore(point.snapshot, root, include=[restored.literal(f"{facts['store']}/{path}")])
    copy = root.relative_to(config.volume_path) / str(facts["store"]).lstrip("/") / path
    arrived = Files((prefix + name, size) for name, size in beneath.walk(config.volume_path, copy)).sizes
    lost = [name for name, size in wanted.items() if arrived.get(name) != size]
    if lost:
        raise ControlError(f"the copy lacks {len(lost)} files, first: {lost[0]}. Nothing live was changed")
    beneath.give(config.volume_path, copy, descent.Owner.named(config.user, config.group))
    suffix = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    put_aside = ""
    if part.replace_live and beneath.look(config.volume_path, live):
        beneath.rename(config.volume_path, live, f"{config.store.name}.before-{suffix}/{path}")
        put_aside = suffix
    done = merge(config, copy, live)
    say(f"{done.came} files came back, {done.stayed} were there")
    if done.refused:
        raise ControlError(
            f"{len(done.refused)} files of {part.kind} {part.name} are still missing, first: {done.refused[0]}. "
            "The point keeps them: repeat it"
        )
    return {
        "point": point.name,
        part.kind: part.name,
        "came_back": done.came,
        "stayed": done.stayed,
        "put_aside": put_aside,
    }


def where(connection: psycopg.Connection[Any], store: Path, part: Part) -> str:
    """The directory of a part, below the store, as the live database has it.

    Raises:
        Refused: there is no such row, or its artifacts lie elsewhere.
    """
    name, _, version = part.name.rpartition("/")
    if part.kind == "run":
        found = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = %s", (part.name,)).fetchall()
    elif not name:
        found = connection.execute(
            "SELECT artifact_location FROM logged_models WHERE model_id = %s", (part.name,)
        ).fetchall()
    else:
        found = connection.execute(
            "SELECT coalesce(storage_location, source) FROM model_versions WHERE name = %s AND version::text = %s",
            (name, version),
        ).fetchall()
    if not found:
        raise Refused(
            f"the live database knows no {part.kind} {part.name}: its row is gone too, so only a whole restore "
            "brings it back (a deleted run's row stays until `mlflowctl gc`)"
        )
    models = dict(connection.execute("SELECT model_id, artifact_location FROM logged_models").fetchall())
    runs = dict(connection.execute("SELECT run_uuid, artifact_uri FROM runs WHERE artifact_uri IS NOT NULL").fetchall())
    path = Resolver(store, models, runs, {}).path(found[0][0])
    if not path:
        raise Refused(f"the artifacts of {part.kind} {part.name} are at {shortened(found[0][0])}, which no point holds")
    return path


def merge(config: Config, source: str | Path, target: str) -> Merged:
    """Move what is missing into its place in the store, each file by one rename that replaces nothing.

    Args:
        config: the instance.
        source: directory of the files, below the volume.
        target: the directory they belong to, below the volume.
    """
    owner, done = descent.Owner.named(config.user, config.group), Merged()
    for name, _ in list(beneath.walk(config.volume_path, source)):
        try:
            if beneath.rename(config.volume_path, f"{source}/{name}", f"{target}/{name}", owner):
                done.came += 1
            else:
                done.stayed += 1
        except descent.InTheWay as error:
            done.refused.append(str(error))
    return done
