"""The indexes that MLflow's tables lack exist, and survive its migrations."""

from __future__ import annotations

from typing import Any

# MLflow's tables as they were in July 2022, below a name of their own in MLflow's database: before all migrations
# that change a column which is indexed.
MIGRATE = """
import json
import os
import sqlalchemy
from alembic import command
from mlflow.store.db import utils
from mlflow_host.database import indexes

options = {"options": "-csearch_path=migrated"}
engine = sqlalchemy.create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"], connect_args=options)

def execute(statement):
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement))

def migrate(revision):
    with engine.begin() as connection:
        config = utils._get_alembic_config("")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

execute("CREATE SCHEMA migrated")
try:
    utils.InitialBase.metadata.create_all(engine)
    migrate("0c779009ac13")
    made = indexes.add(engine)
    migrate("heads")
    utils._verify_schema(engine)
    lost = indexes.add(engine)
finally:
    execute("DROP SCHEMA migrated CASCADE")
print(json.dumps([made, lost, list(indexes.INDEXES)]))
"""


def test_indexes_that_mlflow_lacks(server: Any, host: Any, in_mlflow: Any) -> None:
    """They exist, and are created before MLflow starts on a database that lacks them, such as a restored one."""
    psql = f"psql -U postgres {server['mlflow_database']} -Atc"
    listed = f"{psql} \"SELECT indexname FROM pg_indexes WHERE indexname ~ '^vm_'\""
    wanted = in_mlflow(
        "import json; from mlflow_host.database import indexes; print(json.dumps(list(indexes.INDEXES)))"
    )
    assert sorted(host.check_output(listed).split()) == sorted(wanted)
    host.check_output(f"{psql} 'DROP INDEX vm_runs_start_time'")
    host.check_output(f"systemctl restart {server.unit}-db-init.service {server.unit}.service")
    assert sorted(host.check_output(listed).split()) == sorted(wanted)


def test_they_stay_through_migrations(in_mlflow: Any) -> None:
    """No migration of the last years fails because of one of them, or drops one."""
    made, lost, all_of_them = in_mlflow(MIGRATE)
    assert made == all_of_them
    assert lost == []
