"""Create a run without asking for what it cannot have.

MLflow asks for the inputs of a run that it has just made up and not yet told the
database of. And it reads an experiment's tags, as it does for each look at an
experiment, by a subquery that SQLAlchemy puts together anew each time; with the
keys of the experiments that were found it is a statement that SQLAlchemy
remembers. The answers are the same.

Source: SQLAlchemy, Relationship Loading Techniques, "Select IN loading".
"""

from __future__ import annotations

from typing import Any

METHODS = ("_get_run_inputs", "_get_eager_experiment_query_options")


class NewRunError(RuntimeError):
    """MLflow's store no longer has the methods that we replace."""


def asking(original: Any, run: type[Any]) -> Any:
    """What asks for the inputs of runs, unless none of them is in the database yet.

    Args:
        original: MLflow's method.
        run: the class of a run's row.
    """

    def inputs(self: Any, session: Any, run_uuids: list[str]) -> Any:
        unknown = {row.run_uuid for row in session.new if isinstance(row, run)}
        if run_uuids and unknown.issuperset(run_uuids):
            return [[] for _ in run_uuids]
        return original(self, session, run_uuids)

    return inputs


def apply() -> None:
    """Replace both in MLflow's tracking store.

    Raises:
        NewRunError: one of them is gone.
    """
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.orm import selectinload

    for method in METHODS:
        if not hasattr(SqlAlchemyStore, method):
            raise NewRunError(f"SqlAlchemyStore.{method} is gone: adapt or remove mlflow_host.new_runs")

    def options() -> list[Any]:
        return [selectinload(SqlExperiment.tags)]

    SqlAlchemyStore._get_run_inputs = asking(SqlAlchemyStore._get_run_inputs, SqlRun)
    SqlAlchemyStore._get_eager_experiment_query_options = staticmethod(options)
