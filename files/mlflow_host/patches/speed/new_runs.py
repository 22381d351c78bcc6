"""Create a run with one query of its experiment and one insert.

MLflow reads the whole experiment with its tags over a second connection, lets
SQLAlchemy work out how to save the run, and reads inputs that a new run cannot
have. Its own method still builds the run, but the calls to its store and its
session are handled here.

The patch is tied to the source of the method. If a release changes it, it is skipped
with a message: read the changes, and adapt or remove this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from mlflow_host.core.known import SPEED, Patch
from mlflow_host.patches.speed.prepared import Prepared, mlflow_errors

PATCH = Patch(
    name="new_runs",
    kind=SPEED,
    why="creates a run with one query of its experiment and one insert",
    test="tests/host/test_new_runs.py",
    replaces=(
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.create_run",
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._check_experiment_is_active",
    ),
    needs=("mlflow.store.tracking.dbmodels.models:SqlRun.__table__",),
    known={"3.17.2": "7fc853a6b4ed2835354c0bf851b43cc6a8f654ae51c1aea41f538921b8098348"},
)

READ = Prepared(
    "mlflow_host_read_experiment",
    "SELECT experiment_id, lifecycle_stage, artifact_location FROM experiments WHERE experiment_id = {id}",
    {"id": "integer"},
)
# The largest ``integer``: no experiment's ID is larger.
LARGEST = 2**31 - 1


def insert_statement(columns: Mapping[str, str]) -> Prepared:
    """The statement that inserts a run with its tags: ``tag_keys`` and ``tag_values`` beside the run's columns.

    Args:
        columns: PostgreSQL's type of each column of a run.
    """
    statement = f"""
WITH run AS (INSERT INTO runs ({", ".join(columns)}) VALUES ({", ".join(f"{{{name}}}" for name in columns)}))
INSERT INTO tags (key, value, run_uuid)
SELECT key, value, {{run_uuid}} FROM unnest({{tag_keys}}, {{tag_values}}) AS tag (key, value)
"""  # noqa: S608 - names of MLflow's own columns
    tags = {"tag_keys": "varchar[]", "tag_values": "varchar[]"}
    return Prepared("mlflow_host_insert_run", statement, {**columns, **tags})


class RunCreation:
    """Stands in for the store and the session in ``create_run``.

    Args:
        store: MLflow's store, for everything that is not handled here.
        experiment: with ``artifact_location``, ``experiment_id`` and ``lifecycle_stage``.
    """

    def __init__(self, store: Any, experiment: Any) -> None:
        self.store, self.experiment = store, experiment
        self.run: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def get_experiment(self, _experiment_id: str) -> Any:
        """The experiment that was read already."""
        return self.experiment

    def ManagedSessionMaker(self, read_only: bool) -> RunCreation:
        """The session is this object, too: the row is inserted when MLflow has built it."""
        assert not read_only
        return self

    def __enter__(self) -> RunCreation:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def add(self, run: Any) -> None:
        """Keep the row."""
        self.run = run

    def _get_run_inputs(self, _session: Any, run_uuids: list[str]) -> list[list[Any]]:
        return [[] for _ in run_uuids]


def in_one_insert(original: Any, store: type[Any], columns: list[str], insert: Any) -> Any:
    """Replacement of the method that creates runs.

    Args:
        original: MLflow's method.
        store: the class that it belongs to. Subclasses add further conditions.
        columns: names of a run's columns.
        insert: the statement from ``insert_statement``.
    """

    def create_run(self: Any, experiment_id: str, *more: Any, **named: Any) -> Any:
        text = str(experiment_id)
        known = type(self) is store and self.db_type == "postgresql"
        if known and text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= LARGEST:
            with mlflow_errors(self):
                found = READ.execute(self.engine, {"id": int(text)})
                if found:
                    creating = RunCreation(self, SimpleNamespace(**found[0]._mapping))
                    made = original(creating, experiment_id, *more, **named)
                    run = creating.run
                    tags = {"tag_keys": [tag.key for tag in run.tags], "tag_values": [tag.value for tag in run.tags]}
                    insert.execute(self.engine, {name: getattr(run, name) for name in columns} | tags)
                    return made
        # It raises the errors.
        return original(self, experiment_id, *more, **named)

    return create_run


def apply() -> None:
    """Replace MLflow's method."""
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect()
    columns = {name: column.type.compile(dialect) for name, column in SqlRun.__table__.columns.items()}
    SqlAlchemyStore.create_run = in_one_insert(
        SqlAlchemyStore.create_run, SqlAlchemyStore, list(columns), insert_statement(columns)
    )
