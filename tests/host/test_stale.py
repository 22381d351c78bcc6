"""A search after a bulk load reads a bounded number of rows, whatever PostgreSQL's statistics of the tables are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

RUNS = 600
# Only a superuser may write the catalogue: this is the state of a table that was analyzed while it was empty.
FORGET = """
CREATE FUNCTION forget(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $body$ BEGIN
UPDATE pg_class SET reltuples = 0, relpages = greatest(relpages, 1) WHERE oid = name::regclass;
DELETE FROM pg_statistic WHERE starelid = name::regclass;
PERFORM pg_stat_reset_single_table_counters(name::regclass); END $body$
"""
SEARCH = """
import itertools, json, os, uuid
os.environ["PGOPTIONS"] = "-c statement_timeout=10s"
from mlflow_host.service import statistics
from mlflow_host.patches.speed import searches, values
from mlflow.entities import ViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event

searches.apply()
values.apply()
TABLES = ("runs", "latest_metrics", "params", "tags")
store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/")
experiment = store.create_experiment("stale-" + uuid.uuid4().hex)
mark = uuid.uuid4().hex[:8]
store.create_run(experiment, "someone", 1, [], "first")
each = "FROM generate_series(1, RUNS) i"
def execute(statement):
    with store.engine.begin() as connection:
        connection.exec_driver_sql(statement)
execute(f"INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, source_version, user_id, status, start_time,"
        f" end_time, lifecycle_stage, artifact_uri, experiment_id) SELECT md5('{mark}' || i), 'r', 'LOCAL', '', '', '', 'u', 'FINISHED', i, i, 'active', 'mlflow-artifacts:/x', {experiment} {each}")
for table in ("tags", "params"):
    execute(f"INSERT INTO {table} (key, value, run_uuid)"
            f" SELECT 'k' || k, (i %% 10)::text, md5('{mark}' || i) {each}, generate_series(1, 40) k")
execute(f"INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
        f" SELECT 'm' || k, i / RUNS.0, 1, 1, false, md5('{mark}' || i) {each}, generate_series(1, 40) k")

asked = []
@event.listens_for(store.engine, "before_cursor_execute")
def remember(_connection, cursor, statement, parameters, *_):
    if "FROM runs" in statement and "JOIN" in statement:
        asked.append((statement, parameters))

def rows(plan):
    removed = sum(plan.get(f"Rows Removed by {by}", 0) for by in ("Filter", "Join Filter"))
    return (plan["Actual Rows"] + removed) * plan["Actual Loops"] + sum(map(rows, plan.get("Plans", [])))

FILTERS = [
    ("metrics.m1 > 0.1 and metrics.m1 < 0.9 and tags.k5 = '3'", None),
    ("tags.k5 = '3' and tags.k6 = '3' and params.k7 = '3'", None),
    ("metrics.m1 > 0.1 and params.k3 = '3'", ["metrics.m2 DESC"]),
]
found = {}
for size in range(1, 5):
    for stale in itertools.combinations(TABLES, size):
        for words, order in FILTERS:
            with store.engine.begin() as connection:
                for table in stale:
                    connection.exec_driver_sql(f"SELECT forget('{table}')")
            asked.clear()
            name = " ".join(stale) + ": " + words
            try:
                if not set(stale) <= set(statistics.analyze_stale(store.engine, once_in=0)):
                    raise LookupError(stale)
                store.search_runs([experiment], words, ViewType.ACTIVE_ONLY, 100, order)
                with store.engine.connect() as connection:
                    explained = connection.exec_driver_sql("EXPLAIN (ANALYZE, FORMAT JSON) " + asked[-1][0], asked[-1][1])
                    found[name] = int(rows(explained.scalar()[0]["Plan"]))
            except Exception as error:
                # Its words, which are no number.
                found[name] = f"{type(error).__name__}: {str(error)[:200]}"
for table in ("tags", "params", "latest_metrics", "runs"):
    execute(f"DELETE FROM {table} WHERE run_uuid IN (SELECT run_uuid FROM runs WHERE experiment_id = {experiment})"
            if table != "runs" else f"DELETE FROM runs WHERE experiment_id = {experiment}")
print(json.dumps(found))
""".replace("RUNS", str(RUNS))


@pytest.fixture
def forgetful(server: Any, host: Any) -> Iterator[None]:
    """The database with a function that resets a table's statistics."""
    psql = f"psql -U postgres {server['mlflow_database']} -qAt"
    drop = f"{psql} -c 'DROP FUNCTION IF EXISTS forget(text)'"
    host.check_output(drop)
    host.check_output(f"{psql} <<'SQL'\n{FORGET}\nSQL")
    yield
    host.check_output(drop)
    host.check_output(f"{psql} -c 'ANALYZE'")


def test_no_search_falls_off_a_cliff(in_mlflow: Any, forgetful: None) -> None:
    """For all combinations of tables without statistics, three searches read a few rows for each run."""
    found = in_mlflow(SEARCH)
    assert len(found) == 45
    assert {name: rows for name, rows in found.items() if not isinstance(rows, int) or rows > 40 * RUNS} == {}


def test_a_search_has_stale_tables_counted(server: Any, host: Any, http: Any, forgetful: None) -> None:
    """Through the public URL, each kind of search; requests that only write or read a row analyze nothing."""
    psql = f"psql -U postgres {server['mlflow_database']} -qAt -c"
    known = f"{psql} \"SELECT reltuples > 0 FROM pg_class WHERE oid = 'runs'::regclass\""
    api = f"{server.url}/api/2.0/mlflow"
    run = http.post(f"{api}/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
    for path, body in (
        ("runs/search", {"experiment_ids": ["0"]}),
        ("experiments/search", {"max_results": 5}),
    ):
        host.check_output(f"{psql} \"SELECT forget('runs')\"")
        assert http.post(f"{api}/runs/log-metric", json={"run_id": run, "key": "m", "value": 1, "timestamp": 1}).ok
        assert host.check_output(known) == "f"
        assert http.post(f"{api}/{path}", json=body).ok
        assert host.check_output(known) == "t"
