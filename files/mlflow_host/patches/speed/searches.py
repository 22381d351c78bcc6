"""Search runs without removing duplicates where there can be none, and without looking at all where few are enough.

MLflow asks for distinct runs, so PostgreSQL sorts or hashes all columns of every
run of the experiment before it takes a hundred. Runs are joined with metrics,
parameters and tags, and each join is for one key, of which a run has one row:
no run is found twice. Only a search for datasets, of which a run may have many,
needs what MLflow asks for, and keeps it. What a search may be told to look at is
found by ``mlflow_host.patches.speed.metric_order``.

How MLflow joins is known by the text of its methods. If a release changes them,
they are left alone and it says so: read what is new, and adapt or remove this
module.
"""

from __future__ import annotations

from typing import Any

from mlflow_host.core.known import SPEED, Patch

PATCH = Patch(
    name="searches",
    kind=SPEED,
    why="searches runs without removing duplicates where there are none, and by an index",
    test="tests/host/test_searches.py",
    replaces=(
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._search_runs",
        "mlflow.store.tracking.sqlalchemy_store:_get_sqlalchemy_filter_clauses",
        "mlflow.store.tracking.sqlalchemy_store:_get_orderby_clauses",
    ),
    needs=("mlflow.store.tracking.sqlalchemy_store:select",),
    known={"3.17.2": "33609092a23d8040a1c4bae6f7a313c90cc3be16d05b532034a24a5d3807c438"},
)
# Their primary key is a key and a run.
TABLES = {"runs", "latest_metrics", "params", "tags"}


def selecting(select: Any, run: type[Any]) -> Any:
    """What selects as ``select`` does; runs are distinct only where it must be said, few if ``metric_order`` says so.

    Args:
        select: SQLAlchemy's function.
        run: the class of MLflow's rows of runs.
    """
    from sqlalchemy import Select, Table
    from sqlalchemy.sql import visitors

    from mlflow_host.patches.speed import metric_order

    class Runs(Select[Any]):  # type: ignore[misc]
        inherit_cache = True

        def distinct(self, *columns: Any) -> Any:
            tables = {part.name for part in visitors.iterate(self) if isinstance(part, Table)}
            chosen = self if not columns and tables <= TABLES else super().distinct(*columns)
            few = metric_order.only.get()
            return chosen if few is None else chosen.where(run.run_uuid.in_(few))

    def chosen(*entities: Any) -> Any:
        return Runs(*entities) if entities and entities[0] is run else select(*entities)

    return chosen


def apply() -> None:
    """Let MLflow's tracking store select so."""
    from mlflow.store.tracking import sqlalchemy_store
    from mlflow.store.tracking.dbmodels.models import SqlRun

    from mlflow_host.patches.speed import metric_order

    store = sqlalchemy_store.SqlAlchemyStore
    sqlalchemy_store.select = selecting(sqlalchemy_store.select, SqlRun)
    store._search_runs = metric_order.looking_at_few(store._search_runs)
