"""Replace a point's database by its state at another time, from the WAL archive."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from mlflowctl import stores
from mlflowctl.core.errors import Refused
from mlflowctl.core.progress import Log
from mlflowctl.recovery import backup
from mlflowctl.recovery.compatibility import refuse_other_release
from mlflowctl.recovery.copies import Copy
from mlflowctl.stores import references
from mlflowctl.stores.database.base import Archive, Database, Target


def taken(facts: dict[str, Any]) -> datetime:
    """The time of a point: that of its database snapshot."""
    return datetime.fromisoformat(facts["database_time"])


def archive_of(database: Database) -> Archive:
    """The archive that ``--database-at`` needs.

    Raises:
        Refused: there is none.
    """
    if database.archive is None:
        raise Refused("--database-at needs a WAL archive (mlflow_postgres_wal_archive): this host has none")
    return database.archive


def target(archive: Archive, wanted: str, point: str, at: datetime) -> Target:
    """The target of ``--database-at``.

    Args:
        archive: of the live database.
        wanted: ``point`` or a time in ISO 8601.
        point: name of the recovery point.
        at: when its database snapshot was taken.

    Raises:
        Refused: the time is invalid.
    """
    return Target(at, archive.restore_point(point)) if wanted == "point" else Target(moment(wanted))


def moment(wanted: str) -> datetime:
    """A time as typed by an operator.

    Raises:
        Refused: it is invalid, or in the future.
    """
    try:
        found = datetime.fromisoformat(wanted).astimezone()
    except ValueError as error:
        raise Refused(f"--database-at is {wanted!r}: use a time such as 2026-11-21T10:17:30+00:00, or point") from error
    if found > datetime.now().astimezone():
        raise Refused(f"--database-at is {found.isoformat()}, which is in the future: use an earlier time")
    return found


def rewind(copy: Copy, archive: Archive, wanted: Target, log: Log) -> Copy:
    """Replace the point's dump and manifest by those of the database at another time.

    What was broken at source in the point stays broken; everything else that this
    database refers to must be among the point's artifacts.
    """
    manifest = copy.stage / backup.MANIFEST
    broken = {(old.kind, old.name) for old in references.read(manifest) if not old.present}
    with (
        archive.replayed(wanted, log) as there,
        there.snapshot() as snapshot,
    ):
        found = references.strong(snapshot, stores.artifacts.of(copy.config))
        references.write((replace(new, present=_required(new, broken)) for new in found), manifest)
        dump = snapshot.dump(copy.stage / backup.DUMP)
        facts = copy.facts | {
            "rows": snapshot.rows(),
            "revision": snapshot.revision(),
            "sha256": dump.sha256,
            "dump_bytes": dump.size,
        }
    refuse_other_release(copy.config.instance, facts)
    return replace(copy, facts=facts)


def _required(reference: references.Reference, broken: set[tuple[str, str]]) -> bool:
    """Whether a point must hold the files of a reference: not if it leads nowhere, or was broken already."""
    nowhere = not reference.path or references.uploading(reference.path)
    return not nowhere and (reference.kind, reference.name) not in broken
