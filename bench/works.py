"""The rows of the table, and how each is measured."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from bench.browser import cold_load
from bench.load import Request, load
from bench.machine import machine
from bench.servers import BARE, CA, LOGIN, OURS, ROOT, STOCK, Server, on_host

API = "/api/2.0/mlflow"
# Answers that nginx caches for a second.
REMEMBERED = "/version, remembered by ours"
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
# A real client, which times itself.
LOG_ARTIFACTS = """
import pathlib, tempfile, time, mlflow
with tempfile.TemporaryDirectory() as folder:
    for number in range(1000):
        path = pathlib.Path(folder, f"d{number // 100}", f"{number}.txt")
        path.parent.mkdir(exist_ok=True)
        path.write_text("x" * 1000)
    mlflow.set_experiment("artifacts")
    with mlflow.start_run():
        start = time.monotonic()
        mlflow.log_artifacts(folder)
        print("SECONDS", time.monotonic() - start)
"""
LOAD_MODEL = """
import time, mlflow, sklearn.linear_model
mlflow.set_experiment("artifacts")
with mlflow.start_run():
    model = mlflow.sklearn.log_model(sklearn.linear_model.LinearRegression().fit([[0], [1]], [0, 1]), name="m")
start = time.monotonic()
mlflow.sklearn.load_model(model.model_uri)
print("SECONDS", time.monotonic() - start)
"""

Measure = Callable[[Server], float]


@dataclass(frozen=True)
class Work:
    """One row of the table.

    Attributes:
        clients: how many at the same time.
        unit: of the figure.
        better: ``higher`` or ``lower``.
        measure: does the work on a server and returns the figure.
        on: the servers that it is done on.
        goal: minimum ratio to stock (for ``lower``: maximum), if one is set.
        limit_goal: the same to the limit.
    """

    work: str
    clients: int
    unit: str
    better: str
    measure: Measure
    on: tuple[Server, ...] = (STOCK, OURS)
    goal: float | None = None
    limit_goal: float | None = None


def _requests(request: Request, clients: int) -> Measure:
    # With many clients an answer takes long, and wrk counts only completed ones.
    seconds = SECONDS if clients <= 8 else 2 * SECONDS

    def measure(server: Server) -> float:
        return load(server, request, clients, seconds).rate

    return measure


def _client(code: str) -> Measure:
    def measure(server: Server) -> float:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "GIT_PYTHON_REFRESH": "quiet",
        }
        environment |= {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_DISABLE_TELEMETRY": "true"}
        if server is OURS:
            environment |= {"MLFLOW_TRACKING_USERNAME": LOGIN[0], "MLFLOW_TRACKING_PASSWORD": LOGIN[1]}
            environment |= {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(CA)}
        command = [str(ROOT / ".venv-client/bin/python"), "-W", "ignore", "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{server.name}: the client failed:\n{done.stderr[-2000:]}")
        return float(done.stdout.split("SECONDS ")[1].split()[0])

    return measure


def gibibyte(method: str) -> Measure:
    """MiB per second of one file of 1 GiB, by curl on the host itself."""

    def measure(server: Server) -> float:
        command = ["curl", "--silent", "--show-error", "--fail", "--insecure", "--http1.1", "--output", "/dev/null"]
        for name, value in server.headers.items():
            command += ["--header", f"{name}: {value}"]
        if method == "PUT":
            command += ["--upload-file", f"{BARE.store}/read/big", f"{server.url}{server.artifacts}/written/big"]
        else:
            command += [f"{server.url}{server.artifacts}/read/big"]
        seconds = float(on_host(*command, "--write-out", "%{time_total}"))
        # Nothing may still be written to the disk while the next one is measured.
        on_host("sync")
        return 1024 / seconds

    return measure


def _pgbench(clients: int) -> Measure:
    """Single inserts into a table like that of metrics, each its own transaction."""
    table = "CREATE TABLE IF NOT EXISTS limit_metrics (key text, value float8, timestamp bigint, run_uuid text)"
    insert = "INSERT INTO limit_metrics VALUES ('loss', 0.5, 1, md5(random()::text));"

    def measure(server: Server) -> float:
        on_host("psql", "--username=postgres", "--quiet", "mlflow_stock", "-c", table)
        command = f"--no-vacuum --client={clients} --jobs=2 --time={SECONDS} --file=/dev/stdin mlflow_stock"
        answer = on_host("pgbench", "--username=postgres", *command.split(), stdin=insert)
        return float(answer.split("tps = ")[1].split()[0])

    return measure


def _disk(server: Server) -> float:
    """MiB per second of writing 1 GiB, including the sync to the disk."""
    target = f"{BARE.store}/disk"
    seconds = on_host(
        "sh",
        "-c",
        f"s=$(date +%s%N); dd if=/dev/zero of={target} bs=1M count=1024 conv=fsync status=none; "
        f"echo $(($(date +%s%N) - s)); rm {target}",
    )
    return 1024e9 / int(seconds)


def _cold(what: str) -> Measure:
    def measure(server: Server) -> float:
        return cold_load(server)[what]

    return measure


def works() -> list[Work]:
    """All rows, in the order of the table."""
    post = "POST"
    metric = Request(post, f"{API}/runs/log-metric", "metric", "runs")
    batch = Request(post, f"{API}/runs/log-batch", "batch", "runs")
    create = Request(post, f"{API}/runs/create", "run")
    search = Request(post, f"{API}/runs/search", "runs-search")
    experiments = Request(post, f"{API}/experiments/search", "experiments-search")
    span = Request(post, "/v1/traces", "span", type="application/x-protobuf")
    write = Request("PUT", "{artifacts}/new/@SLOT@/@COUNTER@", "4k", type="application/octet-stream")
    read = Request("GET", "{artifacts}/read/@SLOT@")
    goals = {
        REMEMBERED: 15,
        "log-metric": 3,
        "create-run": 3,
        "runs/search, 100 runs": 2.5,
        "log-batch, 1,000 metrics": 2,
    }
    rows = []
    for clients in (1, 8, 64):
        for name, request in (
            (REMEMBERED, Request("GET", "/version")),
            ("log-metric", metric),
            ("log-batch, 1,000 metrics", batch),
            ("create-run", create),
            ("runs/search, 100 runs", search),
            ("experiments/search, 100 experiments", experiments),
            ("trace of one span", span),
        ):
            goal = goals.get(name) if clients == 8 else None
            rows.append(Work(name, clients, "requests/s", "higher", _requests(request, clients), goal=goal))
        for name, request in (("artifact of 4 KiB, written", write), ("artifact of 4 KiB, read", read)):
            goal, limit = (15, 0.8) if clients == 8 else (None, None)
            measure = _requests(request, clients)
            rows.append(Work(name, clients, "requests/s", "higher", measure, (STOCK, OURS, BARE), goal, limit))
        rows.append(Work("insert by PostgreSQL alone", clients, "requests/s", "higher", _pgbench(clients), (BARE,)))
    # Not one of the answers that nginx caches: MLflow does the same work for both.
    answer = Request("GET", f"{API}/experiments/get?experiment_id=0")
    rows += [
        Work(
            "experiments/get, alone without a login",
            8,
            "requests/s",
            "higher",
            _requests(answer, 8),
            (OURS, BARE),
            None,
            0.9,
        ),
        Work("artifact of 1 GiB, read", 1, "MiB/s", "higher", gibibyte("GET"), (STOCK, OURS, BARE), 2),
        Work("artifact of 1 GiB, written", 1, "MiB/s", "higher", gibibyte("PUT"), (STOCK, OURS, BARE), None, 0.8),
        Work("1 GiB on the disk", 1, "MiB/s", "higher", _disk, (BARE,)),
        Work("log_artifacts of 1,000 files, real client", 1, "s", "lower", _client(LOG_ARTIFACTS)),
        Work("load_model, real client", 1, "s", "lower", _client(LOAD_MODEL)),
        Work("UI, first visit", 1, "MB sent", "lower", _cold("megabytes"), goal=0.3),
        Work("UI, first visit to the list of experiments", 1, "s", "lower", _cold("seconds")),
    ]
    return rows


def where() -> dict[str, object]:
    """Where it was measured, and with which release."""
    version = json.loads(on_host("cat", "/opt/mlflow/current/release.json"))["version"]
    return machine() | {"mlflow": version, "host": "a container; load, servers and database share its cores"}
