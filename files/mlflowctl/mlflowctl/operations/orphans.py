"""Files in the store that no row refers to: reported, or set aside, never deleted here.

A young one may be an upload in progress. What was set aside is deleted, or put
back, by `mlflowctl leftovers`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from mlflowctl import stores
from mlflowctl.core import descent, lock
from mlflowctl.core.ages import parse_age
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ProblemFound
from mlflowctl.core.progress import Log
from mlflowctl.stores.artifacts.base import ArtifactStore
from mlflowctl.stores.database.base import Reader
from mlflowctl.stores.references import UPLOADING, Resolver


def referenced(reader: Reader, artifacts: ArtifactStore) -> set[str]:
    """The directories below the store that a row refers to, deleted rows included."""
    resolver = Resolver(artifacts.own_path, {}, {}, {})
    return {path for uri in reader.uris() if (path := resolver.path(uri))}


def unreferenced(files: Iterable[tuple[str, int]], roots: set[str]) -> list[tuple[str, int]]:
    """The files that are in no directory of ``roots``; paths below the store, sizes in bytes."""
    found = []
    for path, size in files:
        parts = path.split("/")
        if any("/".join(parts[:length]) in roots for length in range(1, len(parts))):
            continue
        if not parts[-1].startswith(UPLOADING):
            found.append((path, size))
    return found


def find(config: Config) -> list[tuple[str, int]]:
    """The orphans of the live store. Only reads.

    Raises:
        ControlError: the volume or the database is not available.
    """
    artifacts = stores.artifacts.of(config)
    artifacts.check()
    # Files first: then a run that is created in between has its row.
    files = list(artifacts.list())
    with stores.database.of(config).snapshot() as rows:
        return unreferenced(files, referenced(rows, artifacts))


def _facts(found: list[tuple[str, int]]) -> dict[str, Any]:
    return {
        "files": len(found),
        "bytes": sum(size for _, size in found),
        "directories": sorted({path.rpartition("/")[0] or "." for path, _ in found}),
    }


def report(config: Config) -> dict[str, Any]:
    """How many orphans there are, how big, and where."""
    return _facts(find(config))


def quarantine(config: Config, older_than: str, log: Log) -> dict[str, Any]:
    """Move the orphans that have not changed for an age out of the store, on the same volume.

    Raises:
        Busy: another operation runs.
        ProblemFound: some could not be moved, because their directories were replaced meanwhile.
        ControlError: the age is invalid, or the volume or database is not available.
    """
    before = time.time() - parse_age(older_than, "--older-than")
    suffix = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    with lock.exclusive(config.instance.state_path, "quarantine"):
        artifacts, moved, refused = stores.artifacts.of(config), [], []
        for path, size in find(config):
            try:
                if artifacts.quarantine(path, before, suffix):
                    moved.append((path, size))
            except descent.UnsafePath as error:
                refused.append(str(error))
    log(f"{len(moved)} files were moved out of the store")
    if refused:
        raise ProblemFound(
            f"{len(refused)} files stay in the store, {len(moved)} were set aside as {suffix}; first: {refused[0]}"
        )
    return _facts(moved) | {"suffix": suffix if moved else ""}
