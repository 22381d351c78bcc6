"""Create a run with one look at its experiment and one insert.

MLflow reads the whole experiment with its tags over a second connection, lets
SQLAlchemy find out how to save the run, and asks for inputs that a new run
cannot have. Its own method goes on making the run, but what it asks its store
and its session is answered here.

What it asks is known by the text of the method. If a release changes it, it is
left alone and says so: read what is new, and adapt or remove this module.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mlflow_host.known import digest, is_known

METHODS = ("create_run", "_check_experiment_is_active")
# SHA-256 of these methods' source, of each release that asks for nothing else.
KNOWN = {"3.17.2": "7fc853a6b4ed2835354c0bf851b43cc6a8f654ae51c1aea41f538921b8098348"}

READ = "SELECT experiment_id, lifecycle_stage, artifact_location FROM experiments WHERE experiment_id = :id"
INSERT = """
WITH run AS (INSERT INTO runs ({columns}) VALUES ({values}))
INSERT INTO tags (key, value, run_uuid)
SELECT key, value, :run_uuid
FROM unnest(CAST(:tag_keys AS varchar[]), CAST(:tag_values AS varchar[])) AS tag (key, value)
"""


class Creating:
    """What ``create_run`` takes for its store, and for its session.

    Args:
        store: MLflow's, for all that is not answered here.
        experiment: with ``artifact_location``, ``experiment_id`` and ``lifecycle_stage``.
    """

    def __init__(self, store: Any, experiment: Any) -> None:
        self.store, self.experiment = store, experiment
        self.run: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def get_experiment(self, _experiment_id: str) -> Any:
        """The experiment, which has been read."""
        return self.experiment

    def ManagedSessionMaker(self, read_only: bool) -> Creating:
        """This is the session, too: the row is inserted when MLflow has made it."""
        assert not read_only
        return self

    def __enter__(self) -> Creating:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def add(self, run: Any) -> None:
        """Remember the row."""
        self.run = run

    def _get_run_inputs(self, _session: Any, run_uuids: list[str]) -> list[list[Any]]:
        return [[] for _ in run_uuids]


def with_less(original: Any, store: type[Any], columns: list[str], read: Any, insert: Any) -> Any:
    """What creates runs as ``original`` does.

    Args:
        original: MLflow's method.
        store: the class that it belongs to. Subclasses ask for more than the experiment's ID.
        columns: names of a run's columns.
        read: SQLAlchemy's statement that reads an experiment by its ``id``.
        insert: the one that inserts a run, and tags from ``tag_keys`` and ``tag_values``.
    """

    def create_run(self: Any, experiment_id: str, *more: Any, **named: Any) -> Any:
        text = str(experiment_id)
        if type(self) is store and text.isascii() and text.isdecimal():
            with self.ManagedSessionMaker(read_only=False) as session:
                row = session.execute(read, {"id": int(text)}).one_or_none()
                if row is not None:
                    creating = Creating(self, SimpleNamespace(**row._mapping))
                    made = original(creating, experiment_id, *more, **named)
                    run = creating.run
                    tags = {"tag_keys": [tag.key for tag in run.tags], "tag_values": [tag.value for tag in run.tags]}
                    session.execute(insert, {name: getattr(run, name) for name in columns} | tags)
                    return made
        # It has the words for what is wrong.
        return original(self, experiment_id, *more, **named)

    return create_run


def apply() -> None:
    """Replace MLflow's method, if it is one that we know."""
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import text

    found = digest(*(getattr(SqlAlchemyStore, method) for method in METHODS))
    if not is_known(found, KNOWN.values(), "creates runs", __name__):
        return
    columns = SqlRun.__table__.columns.keys()
    insert = INSERT.format(columns=", ".join(columns), values=", ".join(f":{name}" for name in columns))
    SqlAlchemyStore.create_run = with_less(
        SqlAlchemyStore.create_run, SqlAlchemyStore, columns, text(READ), text(insert)
    )
