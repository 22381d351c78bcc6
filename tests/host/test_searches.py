"""Runs are searched without removing duplicates; what is found, and in which order, is what MLflow would have found."""

from __future__ import annotations

from typing import Any

# On the host, as MLflow's user and on its database: the same searches through MLflow's statement and ours, page by page.
# Few keys, values and times, so that much of it is equal. Prints the searches that differ, those in which PostgreSQL was
# asked for distinct runs, and how many runs were found.
COMPARE = """
import itertools, json, math, os, random, uuid
from mlflow_host import searches
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.store.tracking import sqlalchemy_store
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event

dice = random.Random(1)
original = sqlalchemy_store.select
searches.apply()
ours = sqlalchemy_store.select
store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/")
experiment = store.create_experiment("searches-" + uuid.uuid4().hex)
for number in range(60):
    run = store.create_run(experiment, "someone", dice.choice([1, 2]), [], dice.choice(["a", "b"])).info.run_id
    for key in ("m", "n"):
        if dice.random() < 0.7:
            store.log_metric(run, Metric(key, dice.choice([0, 1, math.nan, -math.inf]), 1, 1))
        if dice.random() < 0.7:
            store.log_param(run, Param(key, dice.choice(["1", "2", "x"])))
        if dice.random() < 0.7:
            store.set_tag(run, RunTag(key, dice.choice(["1", "2", "x"])))
    store.log_inputs(run, [
        DatasetInput(Dataset(f"data-{n}", str(n), "local", "{}"), [InputTag("mlflow.data.context", "train")])
        for n in range(dice.choice([0, 1, 3]))
    ])
    if dice.random() < 0.2:
        store.delete_run(run)

def text(part):
    # A run's datasets come in the order in which PostgreSQL meets them.
    if isinstance(part, dict):
        return json.dumps({key: text(part[key]) for key in sorted(part)})
    return json.dumps(sorted(map(text, part))) if isinstance(part, list) else json.dumps(part)

asked = []
event.listen(store.engine, "before_cursor_execute", lambda c, u, statement, *rest: asked.append(statement))

def pages(select, words, view, order):
    sqlalchemy_store.select = select
    asked.clear()
    found, token = [], None
    while token != "":
        page = store.search_runs([experiment], words, view, 7, order, token or None)
        found.append([text(run.to_dictionary()) for run in page])
        token = page.token or ""
    return found, any("DISTINCT" in statement for statement in asked)

words = ["", "metrics.m > 0", "metrics.m != 1 and metrics.n <= 1", "params.m = '1'", "params.m LIKE '%' and tags.n != 'x'",
         "tags.m ILIKE 'X'", "attributes.run_name = 'a'", "attributes.start_time > 1", "params.m IS NULL",
         "dataset.context = 'train'", "dataset.name LIKE 'data%' and metrics.m = 0"]
orders = [[], ["metrics.m ASC"], ["metrics.m DESC", "params.n ASC"], ["tags.m DESC", "start_time ASC"], ["run_name"]]
views = [ViewType.ACTIVE_ONLY, ViewType.ALL]
differ, distinct, runs = [], [], 0
for case in itertools.product(words, views, orders):
    theirs, theirs_distinct = pages(original, *case)
    mine, mine_distinct = pages(ours, *case)
    runs += sum(map(len, mine))
    if mine != theirs or not theirs_distinct:
        differ.append(repr(case))
    if mine_distinct:
        distinct.append(case[0])
print(json.dumps({"known": ours is not original, "differ": differ, "distinct": sorted(set(distinct)), "runs": runs}))
"""


def test_a_search_finds_what_mlflow_would_have_found(in_mlflow: Any) -> None:
    """Runs, their order and their pages; duplicates are removed where a run has many datasets."""
    found = in_mlflow(COMPARE)
    # A release that searches in another way is left alone: read what is new, then change mlflow_host.searches.
    assert found["known"]
    assert found["differ"] == []
    assert found["distinct"] == ["dataset.context = 'train'", "dataset.name LIKE 'data%' and metrics.m = 0"]
    assert found["runs"] > 1000
