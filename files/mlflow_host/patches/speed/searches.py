"""Search runs without DISTINCT where there can be no duplicates, and by an index where few runs are enough.

MLflow selects distinct runs, so PostgreSQL sorts or hashes all columns of every run
of the experiment before it returns a hundred. Runs are joined with metrics,
parameters and tags, and each join is for one key, of which a run has one row, so no
run is found twice. Only a search for datasets, of which a run may have many, needs
DISTINCT, and keeps it. ``mlflow_host.patches.speed.metric_order`` finds the runs that
a search can be limited to.

The patch is tied to the source of MLflow's methods. If a release changes them, it is
skipped with a message: read the changes, and adapt or remove this module.
"""

from __future__ import annotations

from typing import Any

from mlflow_host.core.known import SPEED, Patch

PATCH = Patch(
    name="searches",
    kind=SPEED,
    why="searches runs without DISTINCT where there are no duplicates, and by an index",
    test="tests/host/test_searches.py",
    replaces=(
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._search_runs",
        "mlflow.store.tracking.sqlalchemy_store:_get_sqlalchemy_filter_clauses",
        "mlflow.store.tracking.sqlalchemy_store:_get_orderby_clauses",
    ),
    needs=("mlflow.store.tracking.sqlalchemy_store:select",),
    known={"3.17.2": "33609092a23d8040a1c4bae6f7a313c90cc3be16d05b532034a24a5d3807c438"},
)
# Tables with one row for each run and key.
TABLES = {"runs", "latest_metrics", "params", "tags"}


def select_runs(select: Any, run: type[Any]) -> Any:
    """Wrap ``select``: runs are distinct only where needed, and limited to those of ``metric_order``.

    Args:
        select: SQLAlchemy's function.
        run: MLflow's class of runs.
    """
    from sqlalchemy import Select, Table
    from sqlalchemy.sql import visitors

    from mlflow_host.patches.speed import metric_order

    class Runs(Select[Any]):  # type: ignore[misc]
        inherit_cache = True

        def distinct(self, *columns: Any) -> Any:
            tables = {part.name for part in visitors.iterate(self) if isinstance(part, Table)}
            chosen = self if not columns and tables <= TABLES else super().distinct(*columns)
            runs = metric_order.limited_to.get()
            return chosen if runs is None else chosen.where(run.run_uuid.in_(runs))

    def chosen(*entities: Any) -> Any:
        return Runs(*entities) if entities and entities[0] is run else select(*entities)

    return chosen


def apply() -> None:
    """Replace the functions in MLflow's tracking store."""
    from mlflow.store.tracking import sqlalchemy_store
    from mlflow.store.tracking.dbmodels.models import SqlRun

    from mlflow_host.patches.speed import metric_order

    store = sqlalchemy_store.SqlAlchemyStore
    sqlalchemy_store.select = select_runs(sqlalchemy_store.select, SqlRun)
    store._search_runs = metric_order.limit_to_first_runs(store._search_runs)
