"""Indexes that MLflow's tables lack.

They are ours alone: additive, under names that no migration of MLflow's uses, and
made again before each start if they are missing, as on a restored database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

# Characters of a parameter's or tag's value that its index holds.
START = 64

# Table, and what follows its name in CREATE INDEX, by name.
INDEXES = {
    # Without it each search reads all runs of all experiments.
    "vm_runs_start_time": ("runs", "(experiment_id, start_time DESC, run_uuid)"),
    # The order that the UI asks for.
    "vm_runs_start_time_ui": (
        "runs",
        "(experiment_id, (CASE WHEN start_time IS NULL THEN 1 ELSE 0 END), start_time DESC, run_uuid)",
    ),
    # The first runs by a metric, and whether they are of the experiment (mlflow_host.patches.speed.metric_order).
    "vm_runs_experiment": ("runs", "(experiment_id, run_uuid)"),
    "vm_latest_metrics_value": ("latest_metrics", "(key, value, run_uuid) WHERE NOT is_nan"),
    # Those with a parameter or a tag (mlflow_host.patches.speed.values).
    "vm_params_value": ("params", f'(key, "left"(value, {START}), run_uuid)'),
    "vm_tags_value": ("tags", f'(key, "left"(value, {START}), run_uuid)'),
}


def missing(engine: Engine) -> list[str]:
    """Names of those that the database lacks; all of a table's, if it lacks the table."""
    import sqlalchemy

    inspector = sqlalchemy.inspect(engine)
    tables = {table for table, _ in INDEXES.values() if inspector.has_table(table)}
    there = {index["name"] for table in tables for index in inspector.get_indexes(table)}
    return [name for name in INDEXES if name not in there]


def add(engine: Engine) -> list[str]:
    """Create those that are missing, in one transaction: seconds for each million runs.

    Returns:
        Names of those that were created.
    """
    import sqlalchemy

    created = missing(engine)
    with engine.begin() as connection:
        for name in created:
            table, indexed = INDEXES[name]
            connection.execute(sqlalchemy.text(f"CREATE INDEX {name} ON {table} {indexed}"))
            # What is indexed may be computed: nothing is known of it yet.
            connection.execute(sqlalchemy.text(f"ANALYZE {table}"))
    return created
