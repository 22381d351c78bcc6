"""The database's schema revision: initialized once, and never migrated by accident.

A newer MLflow that starts on an older database migrates it, which cannot be undone.
So the server's unit first compares the database's revision with the release's, and
starts only if they are equal.

Source of the facts: ``mlflow/store/db/utils.py`` (``_all_tables_exist``,
``_initialize_tables``, ``_verify_schema``) of MLflow 3.17.2.
"""

from __future__ import annotations

import argparse
import sys

import sqlalchemy
from sqlalchemy.engine import Engine

from mlflow_host.core import serving
from mlflow_host.core.settings import SettingsError, required
from mlflow_host.database import indexes
from mlflow_host.release import installed


class SchemaError(RuntimeError):
    """The database does not fit the release."""


def current(engine: Engine) -> str | None:
    """The database's Alembic revision; ``None`` if it has none yet.

    Raises:
        SchemaError: the database has more than one revision.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    if not sqlalchemy.inspect(engine).has_table("alembic_version"):
        return None
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).all()
    if len(rows) > 1:
        raise SchemaError(f"alembic_version holds {len(rows)} revisions, expected one")
    return str(rows[0][0]) if rows else None


def holds_data(engine: Engine) -> bool:
    """Whether any table of a database without a revision has a row.

    An interrupted initialization leaves empty tables and can be repeated. Tables
    with rows and without a revision belong to something else.
    """
    tables = [name for name in sqlalchemy.inspect(engine).get_table_names() if not name.startswith("alembic_")]
    with engine.connect() as connection:
        for name in tables:
            table = sqlalchemy.table(name)
            one = sqlalchemy.select(sqlalchemy.literal(1)).select_from(table).limit(1)
            if connection.execute(one).first():
                return True
    return False


def initialize(uri: str, artifact_root: str) -> bool:
    """Create MLflow's tables in an empty database. A database with a revision is not changed.

    Args:
        uri: SQLAlchemy URL of the backend store.
        artifact_root: artifact root of the default experiment.

    Returns:
        Whether anything was created.

    Raises:
        SchemaError: the database holds rows but no revision.
    """
    engine = sqlalchemy.create_engine(uri)
    if current(engine) is not None:
        return False
    if holds_data(engine):
        raise SchemaError("the database holds data but no MLflow schema revision: it is not an MLflow database")
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri, artifact_root)
    return True


def check(uri: str, head: str) -> None:
    """Refuse a database whose revision is not the release's own.

    Raises:
        SchemaError: the revisions differ.
    """
    found = current(sqlalchemy.create_engine(uri))
    if found == head:
        return
    raise SchemaError(
        f"the database has schema revision {found} and this release needs {head}. "
        "Starting it would migrate the database permanently. Go back to the release that fits, "
        "or upgrade with a verified recovery point"
    )


def main() -> int:
    """``init`` or ``check``; exit 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="mlflow_host.database.schema", description=__doc__)
    parser.add_argument("verb", choices=("init", "check"))
    verb = parser.parse_args().verb
    try:
        uri = required("MLFLOW_BACKEND_STORE_URI")
        if verb == "init":
            created = initialize(uri, required("MLFLOW_DEFAULT_ARTIFACT_ROOT"))
            print("created MLflow's tables" if created else "the database is initialized")
            engine = sqlalchemy.create_engine(uri)
            # A database of another revision is not changed.
            if current(engine) == installed.read().schema_head:
                for name in indexes.add(engine):
                    print(f"created index {name}")
        else:
            check(uri, installed.read().schema_head)
    except (SchemaError, SettingsError, installed.ReleaseError) as error:
        serving.failed("schema")
        print(f"refusing to start: {error}", file=sys.stderr)
        return 1
    except sqlalchemy.exc.OperationalError as error:
        # The unit tries again, so one line each time is enough.
        serving.failed("database")
        first = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
        print(f"refusing to start: the database does not answer: {first}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
