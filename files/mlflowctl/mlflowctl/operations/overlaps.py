"""What users have deleted, and whether other rows still need its directory.

A run normally has a directory of its own. But any editor can set an experiment's
location and a model version's source, so the directory of a deleted run may be the
same as a live run's, be inside it, or contain it. Then the run is kept, row and
files, and everything else is removed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from mlflowctl.core.printable import printable
from mlflowctl.stores.database.base import Reader
from mlflowctl.stores.references import Reference, Resolver

# Kinds whose directory is exclusive: nothing in it may be removed. An experiment's directory contains its runs.
EXCLUSIVE = ("run", "logged_model")


@dataclass(frozen=True)
class Directory:
    """A directory of the store, and what it belongs to.

    Attributes:
        kind: ``run``, ``logged_model``, ``experiment``, ``trace``, or a kind of :class:`Reference`.
        name: its ID.
        path: below the store; empty if it is elsewhere.
    """

    kind: str
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.kind} {printable(self.name)}"


def deleted(reader: Reader, resolver: Resolver, before_ms: int) -> list[Directory]:
    """The runs and logged models that were deleted before a time (milliseconds since 1970)."""
    return [Directory(kind, name, resolver.path(uri) or "") for kind, name, uri in reader.deleted(before_ms)]


def others(reader: Reader, resolver: Resolver, candidates: Iterable[Directory]) -> Iterator[Directory]:
    """All other directories that rows refer to, including those of recently deleted runs, which may be restored.

    Deleted experiments are left out: their runs, models and traces count. Otherwise they would keep each other.
    """
    excluded = {(found.kind, found.name) for found in candidates}
    for kind, name, uri in reader.owners():
        if (kind, name) not in excluded and (path := resolver.path(uri)):
            yield Directory(kind, name, path)


def experiments(reader: Reader, removable: Iterable[Directory]) -> list[str]:
    """The deleted experiments whose runs and models are all removed: MLflow removes an experiment with its rows."""
    names: dict[str, list[str]] = defaultdict(list)
    for found in removable:
        names[found.kind].append(found.name)
    return reader.emptied(names["run"], names["logged_model"])


def needed_by_others(
    candidates: Iterable[Directory], live: Iterable[Directory], needed: Iterable[Reference]
) -> dict[Directory, Directory]:
    """The candidates that must be kept, each with the first owner that needs its directory.

    Args:
        candidates: what would be removed.
        live: directories of other rows.
        needed: references of the database; broken ones do not count.
    """
    at: dict[str, list[Directory]] = defaultdict(list)
    below: dict[str, list[Directory]] = defaultdict(list)
    for found in candidates:
        if found.path:
            *above, own = _prefixes(found.path)
            at[own].append(found)
            for path in above:
                below[path].append(found)
    kept: dict[Directory, Directory] = {}
    added: list[Directory] = []

    def keep(found: Directory, owner: Directory) -> None:
        if found != owner and found not in kept:
            kept[found] = owner
            added.append(found)

    def check(owner: Directory) -> None:
        for path in _prefixes(owner.path):
            for found in at.get(path, ()):
                keep(found, owner)
        if owner.kind in EXCLUSIVE:
            for found in below.get(owner.path, ()):
                keep(found, owner)

    for reference in needed:
        if reference.present and reference.path:
            check(Directory(reference.kind, reference.name, reference.path))
    for owner in live:
        check(owner)
    # Everything that is kept needs its directory, too.
    while added:
        check(added.pop())
    return kept


def _prefixes(path: str) -> list[str]:
    """A path and all its parents, the shortest first."""
    return list(accumulate(path.split("/"), "{}/{}".format))
