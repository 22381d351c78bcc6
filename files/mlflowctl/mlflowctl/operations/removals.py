"""What gc removes, one by one: kind, ID, name, and the experiment it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlflowctl.operations.overlaps import Directory
from mlflowctl.stores.database.base import Reader

# How many of them the result names; all of them are counted.
NAMED = 1000


def facts(reader: Reader, removable: Iterable[Directory], experiments: Iterable[str]) -> dict[str, Any]:
    """How many of each kind are removed, and which.

    Args:
        reader: in the snapshot in which they were found.
        removable: runs and logged models.
        experiments: IDs of those that are removed with everything in them.

    Returns:
        ``runs``, ``logged_models``, ``experiments``, ``traces``; ``removes``, the first :data:`NAMED` of them, and
        ``not_named``, how many more there are.
    """
    found, emptied = list(removable), list(experiments)
    runs = [one.name for one in found if one.kind == "run"]
    models = [one.name for one in found if one.kind == "logged_model"]
    counts = {
        "runs": len(runs),
        "logged_models": len(models),
        "experiments": len(emptied),
        "traces": reader.traces(emptied),
    }
    rows = reader.removals(emptied, runs, models, NAMED)
    return counts | {
        "removes": [{field: text or "" for field, text in row._asdict().items()} for row in rows],
        "not_named": sum(counts.values()) - len(rows),
    }
