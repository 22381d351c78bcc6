"""Test this release's migrations on a copy of a database, and what they do to our indexes.

A migration cannot be undone, so the name of the database must mark it as a copy.
Prints one JSON object; exits 1 with the reason if the migration fails.

Source of the facts: ``mlflow db upgrade`` (``mlflow/db.py``) of MLflow 3.17.2.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass

import sqlalchemy

from mlflow_host.core.settings import SettingsError, required
from mlflow_host.database import indexes
from mlflow_host.database.schema import SchemaError, current

# The suffix of the copy's name, as in mlflowctl.upgrade.check.
SUFFIX = "_upgrade_check"


@dataclass(frozen=True)
class Rehearsed:
    """The result of a migration.

    Attributes:
        migration_seconds: how long it took.
        indexes_lost: those of :data:`mlflow_host.database.indexes.INDEXES` that it removed.
        indexes_made: those that the first start of the release will have to create.
        index_seconds: how long creating them took.
    """

    migration_seconds: float
    indexes_lost: list[str]
    indexes_made: list[str]
    index_seconds: float


def rehearse(uri: str, artifact_root: str) -> Rehearsed:
    """Migrate a copy to this release, open it like the server, and create the missing indexes.

    Args:
        uri: SQLAlchemy URL of the copy.
        artifact_root: artifact root of the default experiment.

    Raises:
        SchemaError: it is not a copy, the release does not know its revision, or a migration fails.
    """
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        name = str(connection.execute(sqlalchemy.text("SELECT current_database()")).scalar())
    if not name.endswith(SUFFIX):
        raise SchemaError(f"{name} is not a copy: its name does not end with {SUFFIX}. Nothing was changed")
    found = current(engine)
    if found is None:
        raise SchemaError(f"{name} holds no MLflow schema revision: it is not an MLflow database")
    existing = set(indexes.INDEXES).difference(indexes.missing(engine))
    migration_seconds = _migrate(uri, found)
    lost = sorted(existing.intersection(indexes.missing(engine)))
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri, artifact_root)  # refuses tables that are not its own
    started = time.monotonic()
    made = indexes.add(engine)
    return Rehearsed(migration_seconds, lost, made, round(time.monotonic() - started, 3))


def _migrate(uri: str, revision: str) -> float:
    """Run ``mlflow db upgrade``; returns how many seconds it took."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow import db
    from mlflow.store.db.utils import _get_alembic_config

    try:
        ScriptDirectory.from_config(_get_alembic_config("")).get_revision(revision)
    except CommandError as error:
        raise SchemaError(
            f"this release does not know schema revision {revision}: it is older than the database"
        ) from error
    started = time.monotonic()
    try:
        db.commands.main(["upgrade", uri], prog_name="mlflow db", standalone_mode=False)
    except Exception as error:  # a migration is any code
        first = (str(error).strip().splitlines() or [""])[0]
        raise SchemaError(f"its migrations fail with {type(error).__name__}: {first}") from error
    return round(time.monotonic() - started, 3)


def main() -> int:
    """Exit 0 and print what the migrations did; exit 1 with the reason."""
    try:
        done = rehearse(required("MLFLOW_BACKEND_STORE_URI"), required("MLFLOW_DEFAULT_ARTIFACT_ROOT"))
    except (SchemaError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(asdict(done)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
