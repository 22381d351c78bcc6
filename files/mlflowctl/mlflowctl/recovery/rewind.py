"""Replace a point's database by its state at another time, from the WAL archive."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from mlflowctl.core.progress import Log
from mlflowctl.recovery import backup
from mlflowctl.recovery.compatibility import refuse_other_release
from mlflowctl.recovery.copies import Copy
from mlflowctl.stores.database import archive, postgresql, references


def taken(facts: dict[str, Any]) -> datetime:
    """The time of a point: that of its database snapshot."""
    return datetime.fromisoformat(facts["database_time"])


def rewind(copy: Copy, wanted: archive.Target, log: Log) -> Copy:
    """Replace the point's dump and manifest by those of the database at another time.

    What was broken at source in the point stays broken; everything else that this
    database refers to must be among the point's artifacts.
    """
    manifest = copy.stage / backup.MANIFEST
    broken = {(old.kind, old.name) for old in references.read(manifest) if not old.present}
    with (
        archive.cluster(copy.config, wanted, log) as there,
        postgresql.snapshot(there) as (connection, snapshot),
    ):
        found = references.strong(connection, copy.config.artifacts.store)
        references.write((replace(new, present=_required(new, broken)) for new in found), manifest)
        dump = postgresql.dump(there, snapshot, copy.stage / backup.DUMP)
        facts = copy.facts | {
            "rows": postgresql.tables(connection),
            "revision": postgresql.revision(connection),
            "sha256": dump.sha256,
            "dump_bytes": dump.size,
        }
    refuse_other_release(copy.config, facts)
    return replace(copy, facts=facts)


def _required(reference: references.Reference, broken: set[tuple[str, str]]) -> bool:
    """Whether a point must hold the files of a reference: not if it leads nowhere, or was broken already."""
    nowhere = not reference.path or references.uploading(reference.path)
    return not nowhere and (reference.kind, reference.name) not in broken
