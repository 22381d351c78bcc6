"""Log metrics with one statement.

MLflow reads the run, inserts the metrics, looks up which of them have a latest
value, locks and reads those, and updates them: five round trips, and an SQLAlchemy
object for each row. PostgreSQL does all of it in one statement, and two clients
that log the first value of a metric at the same time do not conflict.

The patch is tied to the source of MLflow's methods. If a release changes them, it is
skipped with a message: read the changes, and adapt or remove this module.

Source: PostgreSQL, INSERT, "ON CONFLICT Clause", and WITH Queries, "Data-Modifying Statements in WITH".
"""

from __future__ import annotations

from typing import Any

from mlflow_host.core.known import SPEED, Patch
from mlflow_host.patches.speed.prepared import Prepared, mlflow_errors

PATCH = Patch(
    name="metrics",
    kind=SPEED,
    why="logs metrics with one statement",
    test="tests/host/test_metrics.py",
    replaces=(
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._log_metrics_once",
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._update_latest_metrics_if_necessary",
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.sanitize_metric_value",
    ),
    needs=("mlflow.utils.validation:_validate_metric",),
    known={"3.17.2": "d743576f3ac86f680841672659f4e1aa4a438f4d1823324a7ff80b1532d01edc"},
)

# An existing metric is not changed. A latest value is replaced by a later one only:
# by step, then timestamp, then value; of equals the first counts.
STATEMENT = """
WITH run AS (
    SELECT run_uuid FROM runs WHERE run_uuid = {run} AND lifecycle_stage = 'active'
), given AS (
    SELECT key, value, timestamp, step, is_nan, run_uuid, place
    FROM run, unnest({keys}, {values}, {timestamps}, {steps}, {nans})
        WITH ORDINALITY AS metric (key, value, timestamp, step, is_nan, place)
), history AS (
    INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT key, value, timestamp, step, is_nan, run_uuid FROM given
    ON CONFLICT DO NOTHING
), latest AS (
    INSERT INTO latest_metrics AS old (key, value, timestamp, step, is_nan, run_uuid)
    SELECT DISTINCT ON (key) key, value, timestamp, step, is_nan, run_uuid FROM given
    ORDER BY key, step DESC, timestamp DESC, value DESC, place
    ON CONFLICT (key, run_uuid) DO UPDATE
    SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.timestamp, excluded.value) > (old.step, old.timestamp, old.value)
)
SELECT count(*) FROM run
"""
COLUMNS = {
    "keys": "varchar[]",
    "values": "double precision[]",
    "timestamps": "bigint[]",
    "steps": "bigint[]",
    "nans": "boolean[]",
}
LOG = Prepared("mlflow_host_log_metrics", STATEMENT, {"run": "varchar", **COLUMNS})


def in_one_statement(original: Any, store: type[Any], validate: Any) -> Any:
    """Replacement of the method that logs metrics.

    Args:
        original: MLflow's method; it raises the errors for missing and inactive runs.
        store: the class that it belongs to. Subclasses add further conditions.
        validate: MLflow's check of one metric.
    """

    def log(self: Any, run_id: str, metrics: list[Any]) -> Any:
        if type(self) is not store or self.db_type != "postgresql" or not metrics:
            return original(self, run_id, metrics)
        rows = []
        for index, metric in enumerate(metrics):
            path = "" if len(metrics) == 1 else f"metrics[{index}]"
            validate(metric.key, metric.value, metric.timestamp, metric.step, path=path)
            is_nan, value = self.sanitize_metric_value(metric.value)
            rows.append((metric.key, value, metric.timestamp, metric.step, is_nan))
        columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        with mlflow_errors(self):
            [(active,)] = LOG.execute(self.engine, {"run": run_id, **columns})
        return None if active else original(self, run_id, metrics)

    return log


def apply() -> None:
    """Replace MLflow's method."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.utils.validation import _validate_metric

    original = SqlAlchemyStore._log_metrics_once
    SqlAlchemyStore._log_metrics_once = in_one_statement(original, SqlAlchemyStore, _validate_metric)
