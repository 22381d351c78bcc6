"""The database as of another moment than a point's, out of the WAL archive."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from mlflowctl.recovery import backup
from mlflowctl.recovery.backup import Say
from mlflowctl.recovery.copies import Copy
from mlflowctl.recovery.fitting import refuse_other_release
from mlflowctl.stores.database import archive, postgresql, references


def taken(facts: dict[str, Any]) -> datetime:
    """The moment of a point: that of its database snapshot."""
    return datetime.fromisoformat(facts["database_time"])


def rewind(copy: Copy, wanted: archive.Target, say: Say) -> Copy:
    """Put the database as of another moment in the place of the point's, with a manifest of its own.

    What the point itself calls broken at source stays that; everything else
    that this database relies on must be among the point's artifacts.
    """
    manifest = copy.stage / backup.MANIFEST
    broken = {(old.kind, old.name) for old in references.read(manifest) if not old.present}
    with (
        archive.cluster(copy.config, wanted, say) as there,
        postgresql.snapshot(there) as (connection, snapshot),
    ):
        found = references.strong(connection, copy.config.store)
        references.write((replace(new, present=_owed(new, broken)) for new in found), manifest)
        dump = postgresql.dump(there, snapshot, copy.stage / backup.DUMP)
        facts = copy.facts | {
            "rows": postgresql.tables(connection),
            "revision": postgresql.revision(connection),
            "sha256": dump.sha256,
            "dump_bytes": dump.size,
        }
    refuse_other_release(copy.config, facts)
    return replace(copy, facts=facts)


def _owed(reference: references.Reference, broken: set[tuple[str, str]]) -> bool:
    """Whether a point must hold what a reference needs: not if it leads nowhere, or was broken when it was taken."""
    nowhere = not reference.path or references.uploading(reference.path)
    return not nowhere and (reference.kind, reference.name) not in broken
