"""What gc removes, one by one: kind, ID, name, and the experiment it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from mlflowctl.operations.overlaps import Directory

# How many of them the result names; all of them are counted.
NAMED = 1000

# Experiments first: there are few, and everything in one is removed with it. Its traces are separate rows.
QUERY = """
    SELECT 1, 'experiment', experiment_id::text, name, experiment_id::text, name FROM experiments
     WHERE experiment_id = ANY(%(experiments)s::int[])
    UNION ALL
    SELECT 2, 'run', r.run_uuid, r.name, e.experiment_id::text, e.name
      FROM runs r LEFT JOIN experiments e USING (experiment_id) WHERE r.run_uuid = ANY(%(runs)s::text[])
    UNION ALL
    SELECT 3, 'logged_model', m.model_id, m.name, e.experiment_id::text, e.name
      FROM logged_models m LEFT JOIN experiments e USING (experiment_id) WHERE m.model_id = ANY(%(models)s::text[])
    UNION ALL
    SELECT 4, 'trace', t.request_id, NULL, e.experiment_id::text, e.name
      FROM trace_info t JOIN experiments e USING (experiment_id) WHERE t.experiment_id = ANY(%(experiments)s::int[])
"""


def facts(
    connection: psycopg.Connection[Any], removable: Iterable[Directory], experiments: Iterable[str]
) -> dict[str, Any]:
    """How many of each kind are removed, and which.

    Args:
        connection: in the snapshot in which they were found.
        removable: runs and logged models.
        experiments: IDs of those that are removed with everything in them.

    Returns:
        ``runs``, ``logged_models``, ``experiments``, ``traces``; ``removes``, the first :data:`NAMED` of them, and
        ``not_named``, how many more there are.
    """
    found = list(removable)
    wanted: dict[str, list[Any]] = {
        "experiments": [int(name) for name in experiments],
        "runs": [one.name for one in found if one.kind == "run"],
        "models": [one.name for one in found if one.kind == "logged_model"],
    }
    (traces,) = connection.execute(
        "SELECT count(*) FROM trace_info WHERE experiment_id = ANY(%(experiments)s::int[])", wanted
    ).fetchone() or (0,)
    rows = connection.execute(f"{QUERY} ORDER BY 1, 5, 3 LIMIT {NAMED}", wanted).fetchall()
    counts = {
        "runs": len(wanted["runs"]),
        "logged_models": len(wanted["models"]),
        "experiments": len(wanted["experiments"]),
        "traces": traces,
    }
    fields = ("kind", "id", "name", "experiment_id", "experiment")
    return counts | {
        "removes": [dict(zip(fields, (text or "" for text in row[1:]), strict=True)) for row in rows],
        "not_named": sum(counts.values()) - len(rows),
    }
