"""Additional indexes on MLflow's tables.

Their names are not used by any migration of MLflow, and missing ones are created
before each start, for example after a restore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

# Characters of a parameter's or tag's value in its index.
PREFIX = 64

# Table, and what follows its name in CREATE INDEX, by name.
INDEXES = {
    # Without it each search reads all runs of all experiments.
    "vm_runs_start_time": ("runs", "(experiment_id, start_time DESC, run_uuid)"),
    # The UI's default order.
    "vm_runs_start_time_ui": (
        "runs",
        "(experiment_id, (CASE WHEN start_time IS NULL THEN 1 ELSE 0 END), start_time DESC, run_uuid)",
    ),
    # The first runs by a metric, and whether they belong to the experiment (mlflow_host.patches.speed.metric_order).
    "vm_runs_experiment": ("runs", "(experiment_id, run_uuid)"),
    "vm_latest_metrics_value": ("latest_metrics", "(key, value, run_uuid) WHERE NOT is_nan"),
    # Runs by a parameter or a tag (mlflow_host.patches.speed.values).
    "vm_params_value": ("params", f'(key, "left"(value, {PREFIX}), run_uuid)'),
    "vm_tags_value": ("tags", f'(key, "left"(value, {PREFIX}), run_uuid)'),
}


def missing(engine: Engine) -> list[str]:
    """Names of the missing indexes; all those of a table that does not exist."""
    import sqlalchemy

    inspector = sqlalchemy.inspect(engine)
    tables = {table for table, _ in INDEXES.values() if inspector.has_table(table)}
    existing = {index["name"] for table in tables for index in inspector.get_indexes(table)}
    return [name for name in INDEXES if name not in existing]


def add(engine: Engine) -> list[str]:
    """Create the missing indexes in one transaction, which takes seconds for each million runs.

    Returns:
        Names of the created indexes.
    """
    import sqlalchemy

    created = missing(engine)
    with engine.begin() as connection:
        for name in created:
            table, indexed = INDEXES[name]
            connection.execute(sqlalchemy.text(f"CREATE INDEX {name} ON {table} {indexed}"))
            # An indexed expression has no statistics yet.
            connection.execute(sqlalchemy.text(f"ANALYZE {table}"))
    return created
