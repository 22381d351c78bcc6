"""Files in the store that no row refers to. Only reported: a file without a row may be an upload in progress."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import psycopg

from mlflowctl import backup, database
from mlflowctl.checker import UPLOADING, walk
from mlflowctl.config import Config
from mlflowctl.references import Resolver

ROOTS = """
    SELECT artifact_uri FROM runs UNION SELECT artifact_location FROM logged_models
    UNION SELECT coalesce(storage_location, source) FROM model_versions
    UNION SELECT value FROM trace_tags WHERE key IN ('mlflow.artifactLocation', 'mlflow.trace.archiveLocation')
"""


def owned(connection: psycopg.Connection[Any], store: Path) -> set[str]:
    """The directories below the store that some row calls its own, deleted rows included."""
    resolver = Resolver(store, {}, {}, {})
    rows = connection.execute(ROOTS).fetchall()
    return {path for (uri,) in rows if uri and (path := resolver.path(uri))}


def find(files: list[tuple[str, int]], roots: set[str]) -> dict[str, list[int]]:
    """Number of files and bytes without an owner, by the directory that they lie in."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path, size in files:
        parts = path.split("/")
        if any("/".join(parts[:length]) in roots for length in range(1, len(parts))):
            continue
        if parts[-1].startswith(UPLOADING):
            continue
        entry = found["/".join(parts[:-1]) or "."]
        entry[0] += 1
        entry[1] += size
    return dict(found)


def run(config: Config) -> dict[str, Any]:
    """Report the orphans of the live store. Only reads."""
    backup.check_volume(config)
    # Files first: a run that appears in between then finds its row.
    files = list(walk(config.store))
    with database.snapshot(config) as (connection, _):
        found = find(files, owned(connection, config.store))
    return {
        "files": sum(count for count, _ in found.values()),
        "bytes": sum(size for _, size in found.values()),
        "directories": sorted(found),
    }
