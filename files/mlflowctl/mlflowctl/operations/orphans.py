"""Files in the store that no row refers to: reported, or set aside, never deleted here.

A young one may be an upload in progress. What was set aside is deleted, or put
back, by `mlflowctl leftovers`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core import beneath, descent, lock
from mlflowctl.core.ages import parse_age
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ProblemFound
from mlflowctl.core.progress import Log
from mlflowctl.recovery import leftovers, preflight
from mlflowctl.stores.artifacts import trees
from mlflowctl.stores.database.base import Reader
from mlflowctl.stores.references import UPLOADING, Resolver


def referenced(reader: Reader, store: Path) -> set[str]:
    """The directories below the store that a row refers to, deleted rows included."""
    resolver = Resolver(store, {}, {}, {})
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
    preflight.check_volume(config)
    # Files first: then a run that is created in between has its row.
    files = list(trees.walk(config.artifacts.store))
    with stores.database.of(config).snapshot() as rows:
        return unreferenced(files, referenced(rows, config.artifacts.store))


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
        moved, refused = [], []
        for path, size in find(config):
            try:
                if _set_aside(config, path, before, suffix):
                    moved.append((path, size))
            except descent.UnsafePath as error:
                refused.append(str(error))
    log(f"{len(moved)} files were moved out of the store")
    if refused:
        raise ProblemFound(
            f"{len(refused)} files stay in the store, {len(moved)} were set aside as {suffix}; first: {refused[0]}"
        )
    return _facts(moved) | {"suffix": suffix if moved else ""}


def _set_aside(config: Config, path: str, before: float, suffix: str) -> bool:
    """Set one file aside if it has not changed since a time; returns whether it was moved.

    Raises:
        UnsafePath: a part of its path is no longer a directory.
    """
    source = f"{config.artifacts.store.name}/{path}"
    found = beneath.lstat(config.artifacts.path, source)
    if found is None or found.st_mtime >= before:
        return False
    target = f"{leftovers.quarantine_path(config, suffix).name}/{path}"
    try:
        return beneath.rename(config.artifacts.path, source, target)
    except FileNotFoundError:
        return False
