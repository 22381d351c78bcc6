"""Bring back a part of a recovery point: the artifacts of one run or one model, beside what lives.

The live database says where they belong; so its row must still be there,
marked as deleted or not. Nothing that exists is overwritten.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from mlflowctl import database, restored, trees
from mlflowctl.backup import Say
from mlflowctl.config import Config
from mlflowctl.errors import ControlError, Refused
from mlflowctl.references import Resolver
from mlflowctl.repository import Restic


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


def bring_back(config: Config, repository: Restic, place: restored.Place, part: Part, say: Say) -> dict[str, Any]:
    """Restore a part of a point into the live store.

    Raises:
        Refused: the live database does not know the part.
        ControlError: the point does not hold it, or it does not arrive whole.
    """
    point, root = place.point, place.root
    with database.connect(config) as connection:
        path = where(connection, config.store, part)
    live = config.store / path
    facts = restored.facts(config, repository, point, root)
    prefix = f"{path}/"
    wanted = {
        name: size for name, size in restored.listing(repository, point, facts).sizes.items() if name.startswith(prefix)
    }
    if not wanted:
        raise ControlError(f"point {point.name} holds no artifacts of {part.kind} {part.name}: take another point")
    restored.refuse_without_space(config, root, sum(wanted.values()))
    say(f"restoring {len(wanted)} files of {part.kind} {part.name}")
    repository.restore(point.snapshot, root, include=[restored.literal(f"{facts['store']}/{path}")])
    copy = root / str(facts["store"]).lstrip("/") / path
    arrived = {prefix + name: size for name, size in trees.walk(copy)}
    lost = [name for name, size in wanted.items() if arrived.get(name) != size]
    if lost:
        raise ControlError(f"the copy lacks {len(lost)} files, first: {lost[0]}. Nothing live was changed")
    trees.give(copy, config.user, config.group)
    suffix = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    put_aside = ""
    if part.replace_live and live.is_dir():
        aside = config.store.with_name(f"{config.store.name}.before-{suffix}") / path
        aside.parent.mkdir(parents=True)
        live.rename(aside)
        put_aside = suffix
    came, stayed = merge(config, copy, live)
    say(f"{came} files came back, {stayed} were there")
    return {"point": point.name, part.kind: part.name, "came_back": came, "stayed": stayed, "put_aside": put_aside}


def where(connection: psycopg.Connection[Any], store: Path, part: Part) -> str:
    """The directory of a part, below the store, as the live database has it.

    Raises:
        Refused: there is no such row, or its artifacts lie elsewhere.
    """
    name, _, version = part.name.partition("/")
    if part.kind == "run":
        found = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = %s", (name,)).fetchall()
    elif not version:
        found = connection.execute(
            "SELECT artifact_location FROM logged_models WHERE model_id = %s", (name,)
        ).fetchall()
    else:
        found = connection.execute(
            "SELECT coalesce(storage_location, source) FROM model_versions WHERE name = %s AND version = %s",
            (name, int(version) if version.isdigit() else 0),
        ).fetchall()
    if not found:
        raise Refused(
            f"the live database knows no {part.kind} {part.name}: its row is gone too, so only a whole restore "
            "brings it back (a deleted run's row stays until `mlflowctl gc`)"
        )
    models = dict(connection.execute("SELECT model_id, artifact_location FROM logged_models").fetchall())
    runs = dict(connection.execute("SELECT run_uuid, artifact_uri FROM runs WHERE artifact_uri IS NOT NULL").fetchall())
    path = Resolver(store, models, runs, {}).path(found[0][0] or "")
    if not path:
        raise Refused(f"the artifacts of {part.kind} {part.name} are at {found[0][0]}, which no point holds")
    return path


def merge(config: Config, copy: Path, live: Path) -> tuple[int, int]:
    """Move what is missing into its place below the store, each file by one rename.

    Returns:
        How many files moved, and how many were there already.
    """
    came = stayed = 0
    for name, _ in list(trees.walk(copy)):
        target = live / name
        if target.exists() or target.is_symlink():
            stayed += 1
            continue
        for directory in reversed(target.relative_to(config.store).parents):
            folder = config.store / directory
            if not folder.exists():
                folder.mkdir()
                shutil.chown(folder, config.user, config.group)
                folder.chmod(0o2770)
        (copy / name).rename(target)
        came += 1
    return came, stayed
