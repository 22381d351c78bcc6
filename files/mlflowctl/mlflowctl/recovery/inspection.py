"""Check a restored copy against its point: files, rows, schema revision, keys."""

from __future__ import annotations

from mlflowctl import stores
from mlflowctl.core.progress import Log
from mlflowctl.recovery import backup, restored
from mlflowctl.recovery.checker import Files, Report, compare, compare_rows
from mlflowctl.recovery.copies import Copy
from mlflowctl.recovery.host_files import SECRETS, bundled
from mlflowctl.recovery.repository import Restic
from mlflowctl.stores import references


def check(copy: Copy, repository: Restic, log: Log) -> Report:
    """Check the whole copy: references, files, rows, revision."""
    log("checking the copy")
    live = stores.artifacts.of(copy.config)
    expected = None if copy.database_only else restored.listing(live, repository, copy.place.point, copy.facts)
    report = compare(references.read(copy.stage / backup.MANIFEST), Files(copy.artifacts.list()), expected)
    report.lost += check_database(copy)
    return report


def check_database(copy: Copy) -> list[str]:
    """What the restored database and its keys lack, as sentences."""
    with stores.database.of(copy.config).reader(copy.place.database) as reader:
        lost = compare_rows(copy.facts["rows"], reader.rows())
        if (found := reader.revision()) != copy.facts["revision"]:
            lost.append(f"schema revision {copy.facts['revision']} expected, {found or 'none'} found")
    return lost + [
        f"secret {name} is not in the point: what it encrypts cannot be read"
        for name in SECRETS
        if bundled(copy, copy.config.instance.config_path / "secrets" / name) is None
    ]
