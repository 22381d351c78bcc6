"""Fetch a recovery point to a place beside the live data: its description first, then artifacts and database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core import trees
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.errors import ControlError
from mlflowctl.core.progress import Log
from mlflowctl.recovery import backup, compatibility, description
from mlflowctl.recovery.checker import Files
from mlflowctl.recovery.copies import WHOLE, Copy, Place, Selection
from mlflowctl.recovery.repository import Contents, Point, Restic, literal
from mlflowctl.recovery.rewind import archive_of, rewind, taken, target
from mlflowctl.stores.artifacts.base import ArtifactStore
from mlflowctl.stores.database.base import sha256


def facts(instance: Instance, repository: Restic, point: Point, root: Path) -> dict[str, Any]:
    """Restore and read the description of a point, a few kilobytes."""
    trees.remove(root)
    root.mkdir(mode=0o700)
    repository.restore(point.snapshot, root, include=[literal(str(instance.stage / backup.FACTS))])
    return description.read(root, instance.stage, backup.FACTS)


def fetch(config: Config, repository: Restic, place: Place, log: Log, what: Selection = WHOLE) -> Copy:
    """Restore the files and the dump of a point to a place, which is emptied first.

    Args:
        config: the instance.
        repository: where the point is.
        place: the destination.
        log: writes a line of progress.
        what: which parts.

    Raises:
        Refused: another release, an older server; the WAL archive does not reach that time.
        ControlError: too little space, a damaged dump.
    """
    point, root, name = place.point, place.root, place.database
    # The small description first: it says whether the point can be restored here.
    described = facts(config.instance, repository, point, root)
    database, artifacts = stores.database.of(config), stores.artifacts.of(config)
    database.check_version(described["postgresql"])
    compatibility.refuse_other_release(config.instance, described)
    database.drop(name)
    # Dump, manifest and bundle; anything else in the directory is refused.
    repository.restore(point.snapshot, root, include=[literal(str(config.instance.stage))])
    copy = Copy(place, config, description.read(root, config.instance.stage, backup.FACTS), what.database_only)
    files = listing(artifacts, repository, point, copy.facts)
    compatibility.refuse_without_space(
        artifacts, root, copy.facts["dump_bytes"] + (0 if what.database_only else files.size)
    )
    dump = copy.stage / backup.DUMP
    if what.database_at:
        archive = archive_of(database)
        copy = rewind(copy, archive, target(archive, what.database_at, point.name, taken(copy.facts)), log)
    elif sha256(dump) != copy.facts["sha256"]:
        raise ControlError(f"the dump of point {point.name} is damaged: its SHA-256 differs. Use another point")
    if not what.database_only:
        log(f"restoring {len(files.sizes)} files, {files.size} bytes")
        contents = Contents(repository, point.snapshot)
        artifacts.fetch(contents, copy.facts["store"], root)
    log("restoring the database")
    database.restore(dump, name)
    return copy


def listing(artifacts: ArtifactStore, repository: Restic, point: Point, facts: dict[str, Any]) -> Files:
    """The artifacts of a point, wherever the store was then."""
    return backup.listing(artifacts, Contents(repository, point.snapshot), facts["store"])
