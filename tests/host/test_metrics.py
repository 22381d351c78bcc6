"""Metrics are logged with one statement; what is in the database afterwards is what MLflow would have written."""

from __future__ import annotations

from typing import Any

# On the host, as MLflow's user and on its database: the same batches for two runs, through MLflow's method for one and
# ours for the other. Few keys, steps and values, so that many are duplicates and out of order. Prints the
# batches after which the runs differ, the errors of both for bad input, and how many rows were compared.
COMPARE = """
import json, math, os, random, uuid
from concurrent.futures import ThreadPoolExecutor
from mlflow_host.patches.speed import metrics
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import text

rng = random.Random(1)
original = SqlAlchemyStore._log_metrics_once
metrics.apply()
ours = SqlAlchemyStore._log_metrics_once
store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/")
experiment = store.create_experiment("metrics-" + uuid.uuid4().hex)

def new_run():
    return store.create_run(experiment, "someone", 1, [], None).info.run_id

def metric():
    value = rng.choice([0.0, -0.0, 0.1, 1, 1e300, math.nan, math.inf, -math.inf])
    return Metric(rng.choice(["a", "b", "c", "d/e", "f g"]), value, rng.choice([0, 1, 2**53 + 1]), rng.choice([-1, 0, 1, 2**40]))

def rows(run):
    found = []
    with store.ManagedSessionMaker() as session:
        for table in ("metrics", "latest_metrics"):
            columns = "key, value::text, timestamp, step, is_nan"
            found.append(sorted(map(tuple, session.execute(text(f"SELECT {columns} FROM {table} WHERE run_uuid = :run"), {"run": run}))))
    return found

def error_of(log, run, batch):
    try:
        log(store, run, batch)
    except MlflowException as error:
        # PostgreSQL's own words hold the statement.
        return error.error_code + ("" if "[SQL: " in str(error) else str(error).replace(run, "RUN"))

differ, compared = [], 0
for trial in range(25):
    theirs_run, our_run = new_run(), new_run()
    for _ in range(6):
        batch = [metric() for _ in range(rng.choice([0, 1, 1, 1, 3, 40]))]
        original(store, theirs_run, batch)
        ours(store, our_run, batch)
        expected = rows(theirs_run)
        compared += sum(map(len, expected))
        if rows(our_run) != expected:
            differ.append(repr(batch))

gone, deleted = uuid.uuid4().hex, new_run()
store.delete_run(deleted)
bad = [Metric("a", "x", 1, 1), Metric("../a", 1, 1, 1), Metric("a" * 251, 1, 1, 1), Metric("a", 1, 1, 2**64), Metric("a", 1, None, 1)]
cases = [(gone, [metric()]), (deleted, [metric()]), (gone, []), (deleted, [])]
cases += [(our_run, [wrong]) for wrong in bad] + [(our_run, [metric(), wrong]) for wrong in bad[:3]]
answers = [(error_of(original, run, batch), error_of(ours, run, batch)) for run, batch in cases]

# First values of one metric, from many at the same moment.
together = new_run()
with ThreadPoolExecutor(6) as threads:
    list(threads.map(lambda step: ours(store, together, [Metric("loss", 0.5, step, step)]), range(60)))
history, latest = rows(together)
print(json.dumps({
    "known": ours is not original, "differ": differ, "compared": compared, "answers": answers,
    "together": [len(history), [row[3] for row in latest]],
}))
"""


def test_one_statement_writes_what_mlflow_writes(in_mlflow: Any) -> None:
    """Row by row, and with the same error for bad input."""
    found = in_mlflow(COMPARE)
    # A release that logs metrics in another way is not patched: read the new code, then change mlflow_host.patches.speed.metrics.
    assert found["known"]
    assert found["differ"] == []
    assert found["compared"] > 1000
    assert [pair for pair in found["answers"] if pair[0] != pair[1]] == []
    assert sum(1 for theirs, _ in found["answers"] if theirs) >= 8
    assert found["together"] == [60, [59]]
