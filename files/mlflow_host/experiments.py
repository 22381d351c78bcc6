"""Read an experiment's tags with a statement that SQLAlchemy remembers.

MLflow reads them at each look at an experiment, by a subquery that SQLAlchemy
puts together anew each time. By the keys of the experiments that were found it
finds the same.

Source: SQLAlchemy, Relationship Loading Techniques, "Select IN loading".
"""

from __future__ import annotations

from typing import Any

METHOD = "_get_eager_experiment_query_options"


class ExperimentError(RuntimeError):
    """MLflow's store no longer says with this method how it loads tags."""


def apply() -> None:
    """Load them so in MLflow's tracking store.

    Raises:
        ExperimentError: the method is gone.
    """
    from mlflow.store.tracking.dbmodels.models import SqlExperiment
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.orm import selectinload

    if not hasattr(SqlAlchemyStore, METHOD):
        raise ExperimentError(f"SqlAlchemyStore.{METHOD} is gone: adapt or remove mlflow_host.experiments")

    def options() -> list[Any]:
        return [selectinload(SqlExperiment.tags)]

    setattr(SqlAlchemyStore, METHOD, staticmethod(options))
