"""Measure the same requests as the amount of data grows, on an idle machine: `make bench-scale`.

Fills the container of `make bench` straight in its database and on its volume,
at 1 %, 10 % and 100 % of 10,000 experiments, 1,000,000 runs, 20,000,000 metric
rows and 200,000 files, and times the same requests at each. Writes
docs/results/scale.json, and its table in docs/speed.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.data import API
from bench.load import SCRIPT, Request, load, long_enough, put
from bench.machine import machine
from bench.servers import OURS, ROOT, install_tools, on_host
from scripts import readme_tables

RESULT = ROOT / "docs" / "results" / "scale.json"
SQL = (Path(__file__).parent / "sql" / "scale.sql").read_text()
SHARES = (1, 10, 100)  # per cent
EXPERIMENTS, RUNS, FILES = 10_000, 1_000_000, 200_000
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
CLIENTS = 8
# Of sql/scale.sql: the experiment that holds a tenth of all runs, and an ordinary one of 90.
LARGEST, ORDINARY = 1_000_000, 1_000_001

# On the host: files of 100 bytes, twenty for each of the first runs. Arguments: root, first number, end.
WRITE = """
import hashlib, os, sys
root, first, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(first, end):
    run = number // 20
    folder = f"{root}/scale/{hashlib.md5(b'scale-%d' % run).hexdigest()}/artifacts"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{number % 20}", "w") as file:
        file.write("x" * 100)
os.system(f"chown -R mlflow:mlflow-artifacts {root}/scale && chmod -R u=rwX,g=rwX {root}/scale")
"""


def requests() -> dict[str, Request]:
    """The requests, by their names in the table; their bodies are written to the host."""
    run = on_host("psql", "--username=postgres", "mlflow", "-Atc", "SELECT md5('scale-1')").strip()
    # Experiments, and the number of a run in them.
    names = {"the largest experiment": (LARGEST, 500), "an ordinary experiment": (ORDINARY, 5)}
    found: dict[str, Request] = {}
    for words, (experiment, number) in names.items():
        for kind, more in (
            ("", {}),
            (", as the UI sorts them", {"order_by": ["attributes.start_time DESC"]}),
            (", by a metric", {"order_by": ["metrics.loss ASC"]}),
            (", with a metric that a tenth has", {"filter": "metrics.accuracy > 0.9"}),
            (", with a parameter that a tenth has", {"filter": "params.layers = '7'"}),
            (
                ", with a parameter that a tenth has, by a metric",
                {"filter": "params.layers = '7'", "order_by": ["metrics.loss ASC"]},
            ),
            (", with a parameter that one has", {"filter": f"params.seed = '{number}'"}),
            (", with a parameter that none has", {"filter": f"params.data = 'data-{ORDINARY + 1}'"}),
        ):
            name = f"runs/search in {words}{kind}"
            found[name] = _post("runs/search", {"experiment_ids": [str(experiment)], "max_results": 100} | more)
    found["experiments/search"] = _post("experiments/search", {"max_results": 100})
    found["experiments/search, by name"] = _post(
        "experiments/search", {"max_results": 100, "filter": "name LIKE 'scale-7%'"}
    )
    found["runs/get"] = Request("GET", f"{API}/runs/get?run_id={run}")
    found["metrics/get-history"] = Request("GET", f"{API}/metrics/get-history?run_id={run}&metric_key=loss")
    found["list of a run's artifacts"] = Request(
        "GET", f"/api/2.0/mlflow-artifacts/artifacts?path=scale/{run}/artifacts"
    )
    found["an artifact"] = Request("GET", f"/api/2.0/mlflow-artifacts/artifacts/scale/{run}/artifacts/3")
    found["log-metric"] = _post("runs/log-metric", {"run_id": run, "key": "new", "value": 1, "timestamp": "@COUNTER@"})
    found["create-run"] = _post("runs/create", {"experiment_id": str(ORDINARY - 1), "start_time": 1})
    return found


def _post(path: str, body: dict[str, Any]) -> Request:
    text = json.dumps(body).replace('"@COUNTER@"', "@COUNTER@")
    name = f"scale-{hashlib.sha256(text.encode()).hexdigest()}"
    put(f"{OURS.name}-{name}", text)
    return Request("POST", f"{API}/{path}", name)


def fill(before: int, share: int) -> dict[str, float]:
    """Add data from one share to another, in per cent; returns the sizes."""
    bounds = [(total * before // 100, total * share // 100) for total in (EXPERIMENTS, RUNS, FILES)]
    (first_experiment, experiments), (first_run, runs), (first_file, files) = bounds
    settings = {
        "first_experiment": first_experiment,
        "experiments": experiments,
        "first_run": first_run,
        "runs": runs,
        "largest": LARGEST,
    }
    given = [f"--set={name}={value}" for name, value in settings.items()]
    on_host("psql", "--username=postgres", "--quiet", "--set=ON_ERROR_STOP=1", *given, "mlflow", stdin=SQL)
    on_host("python3", "-c", WRITE, OURS.store, str(first_file), str(files))
    metrics, size = on_host(
        *("psql", "--username=postgres", "mlflow", "-Atc"),
        "SELECT count(*), pg_database_size('mlflow') >> 20 FROM metrics",
    ).split("|")
    return {
        "experiments": experiments,
        "runs": runs,
        "metrics": int(metrics),
        "files": files,
        "database_mib": int(size),
    }


def measure(wanted: dict[str, Request]) -> dict[str, dict[str, float]]:
    """Median of the rounds of requests per second and of the 95th percentile (ms), by name."""
    found: dict[str, dict[str, float]] = {}
    for name, request in wanted.items():
        seconds = long_enough(OURS, request, CLIENTS, SECONDS)
        rounds = [load(OURS, request, CLIENTS, seconds) for _ in range(ROUNDS)]
        found[name] = {
            "rate": float(f"{median(result.rate for result in rounds):.4g}"),
            "p95_ms": float(f"{1000 * median(result.p95 for result in rounds):.4g}"),
        }
        print(f"   {name:<60}{found[name]['rate']:>10,.4g}/s  p95 {found[name]['p95_ms']:>8,.4g} ms", flush=True)
    return found


def main() -> None:
    """Fill, measure, and write."""
    install_tools()
    put("requests.lua", SCRIPT)
    sizes, p95 = [], []
    for before, share in zip((0, *SHARES), SHARES, strict=False):
        started = time.monotonic()
        sizes.append(fill(before, share))
        print(f"== {share} %: {sizes[-1]}, {time.monotonic() - started:.0f} s", flush=True)
        p95.append({name: values["p95_ms"] for name, values in measure(requests()).items()})
    result = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "rounds": ROUNDS, "clients": CLIENTS}
    result |= {"sizes": sizes, "p95_ms": p95}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    readme_tables.main()


if __name__ == "__main__":
    main()
