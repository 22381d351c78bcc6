"""Read an experiment's tags with a statement that SQLAlchemy caches.

MLflow reads them with every experiment, by a subquery that SQLAlchemy compiles
each time. A query by the keys of the experiments returns the same.

Source: SQLAlchemy, Relationship Loading Techniques, "Select IN loading".
"""

from __future__ import annotations

from typing import Any

from mlflow_host.core.known import SPEED, Patch

PATCH = Patch(
    name="experiments",
    kind=SPEED,
    why="reads an experiment's tags with a statement that SQLAlchemy caches",
    test="tests/host/test_new_runs.py",
    replaces=("mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._get_eager_experiment_query_options",),
    needs=("mlflow.store.tracking.dbmodels.models:SqlExperiment.tags",),
    known={"3.17.2": "b226c92be2f4041fa8f51e3c45639d8adc34a91f644f6f5b3e7066a2f94f629c"},
    services=("rest", "asgi"),
)


def apply() -> None:
    """Replace the loading option in MLflow's tracking store."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.orm import selectinload

    def options() -> list[Any]:
        return [selectinload(SqlExperiment.tags)]

    SqlAlchemyStore._get_eager_experiment_query_options = staticmethod(options)
