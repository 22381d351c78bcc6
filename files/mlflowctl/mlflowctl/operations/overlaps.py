"""What users have deleted, and whether its directory holds what others still need.

A run's directory is its own as long as nobody says otherwise. But any editor
names an experiment's location, and a model version's source: so the directory of
a deleted run may be that of a run that lives, lie in one, or hold one. Then it is
left alone, with its row, and everything else goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import psycopg

from mlflowctl.core.printable import printable
from mlflowctl.stores.database.references import Reference, Resolver

# Whose directory is theirs alone: nothing of anybody else's in it may go. Below an experiment's lie its own runs.
CLOSED = ("run", "logged_model")


@dataclass(frozen=True)
class Directory:
    """A directory of the store, and whose it is.

    Attributes:
        kind: ``run``, ``logged_model``, ``experiment``, ``trace``, or a kind of :class:`Reference`.
        name: the ID by which a person finds it.
        path: below the store; empty if it lies elsewhere.
    """

    kind: str
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.kind} {printable(self.name)}"


def deleted(connection: psycopg.Connection[Any], resolver: Resolver, before_ms: int) -> list[Directory]:
    """The runs and logged models that were deleted before a time (milliseconds since 1970)."""
    rows = connection.execute(
        "SELECT 'run', run_uuid, artifact_uri FROM runs WHERE lifecycle_stage = 'deleted' AND deleted_time < %(before)s"
        " UNION ALL SELECT 'logged_model', model_id, artifact_location FROM logged_models"
        " WHERE lifecycle_stage = 'deleted' AND last_updated_timestamp_ms < %(before)s ORDER BY 1, 2",
        {"before": before_ms},
    )
    return [Directory(kind, name, resolver.path(uri) or "") for kind, name, uri in rows.fetchall()]


def others(connection: psycopg.Connection[Any], resolver: Resolver, doomed: Iterable[Directory]) -> Iterator[Directory]:
    """Every other directory that a row names; also of what was deleted, but not long enough ago: it may come back.

    A deleted experiment has none but those of its runs, models and traces: it would stay for its runs, and they for it.
    """
    going = {(found.kind, found.name) for found in doomed}
    # There may be millions of traces: they come by and by.
    with connection.cursor("others") as cursor:
        cursor.execute(
            "SELECT 'run', run_uuid, artifact_uri FROM runs UNION ALL"
            " SELECT 'logged_model', model_id, artifact_location FROM logged_models UNION ALL"
            " SELECT 'experiment', experiment_id::text, artifact_location FROM experiments"
            " WHERE lifecycle_stage = 'active' UNION ALL"
            " SELECT 'trace', request_id, value FROM trace_tags WHERE key = 'mlflow.artifactLocation'"
        )
        for kind, name, uri in cursor:
            if (kind, name) not in going and (path := resolver.path(uri)):
                yield Directory(kind, name, path)


def experiments(connection: psycopg.Connection[Any], going: Iterable[Directory]) -> list[str]:
    """The deleted experiments of which nothing stays: MLflow removes one with all its rows."""
    names: dict[str, list[str]] = defaultdict(list)
    for found in going:
        names[found.kind].append(found.name)
    rows = connection.execute(
        "SELECT experiment_id::text FROM experiments e WHERE lifecycle_stage = 'deleted'"
        " AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.experiment_id = e.experiment_id"
        "                 AND NOT r.run_uuid = ANY(%s::text[]))"
        " AND NOT EXISTS (SELECT 1 FROM logged_models m WHERE m.experiment_id = e.experiment_id"
        "                 AND NOT m.model_id = ANY(%s::text[])) ORDER BY 1",
        (names["run"], names["logged_model"]),
    )
    return [name for (name,) in rows.fetchall()]


def left_alone(
    doomed: Iterable[Directory], living: Iterable[Directory], needed: Iterable[Reference]
) -> dict[Directory, Directory]:
    """What must not go, each with the first that needs its directory.

    Args:
        doomed: what would go.
        living: directories that others have.
        needed: what the database relies on; what is broken already relies on nothing.
    """
    at: dict[str, list[Directory]] = defaultdict(list)
    below: dict[str, list[Directory]] = defaultdict(list)
    for found in doomed:
        if found.path:
            *above, own = _ways(found.path)
            at[own].append(found)
            for path in above:
                below[path].append(found)
    stays: dict[Directory, Directory] = {}
    fresh: list[Directory] = []

    def spare(found: Directory, owner: Directory) -> None:
        if found != owner and found not in stays:
            stays[found] = owner
            fresh.append(found)

    def look(owner: Directory) -> None:
        for path in _ways(owner.path):
            for found in at.get(path, ()):
                spare(found, owner)
        if owner.kind in CLOSED:
            for found in below.get(owner.path, ()):
                spare(found, owner)

    for reference in needed:
        if reference.present and reference.path:
            look(Directory(reference.kind, reference.name, reference.path))
    for owner in living:
        look(owner)
    # What stays is one more that lives.
    while fresh:
        look(fresh.pop())
    return stays


def _ways(path: str) -> list[str]:
    """A path and all that it lies below, the shortest first."""
    return list(accumulate(path.split("/"), "{}/{}".format))
