"""The same for PostgreSQL's settings where only a part of the database fits into memory, so that the disk is read, too.

The third part of `make bench-scale`: the host keeps 4 GiB, and each request
is for another experiment or run of the million. Writes
docs/results/postgres-disk.json, and its table in docs/speed.md.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from hashlib import md5
from random import sample

from bench import data, scale
from bench.load import Request, put
from bench.machine import machine
from bench.postgres import restart_with
from bench.servers import HOST, OURS, ROOT, on_host
from bench.turns import CLIENTS, ROUNDS, in_turns
from scripts import readme_tables

RESULT = ROOT / "docs" / "results" / "postgres-disk.json"
MEMORY_GIB = 4
# What the role computes for a host of that size: docs/speed.md, "What a host of your size gets".
INSTALLED = {"shared_buffers": "512MB", "effective_cache_size": "1536MB", "work_mem": "4MB"}
INSTEAD: dict[str, dict[str, str]] = {
    "as installed": {},
    "nothing, measured once more": {},
    "`shared_buffers` 128 MB": {"shared_buffers": "128MB"},
    "`shared_buffers` 1 GB": {"shared_buffers": "1GB"},
    "`random_page_cost` 4": {"random_page_cost": "4"},
    "`effective_io_concurrency` 1": {"effective_io_concurrency": "1"},
}
# So many that the data that they need does not fit into memory.
RUNS = 100_000


def requests() -> dict[str, Request]:
    """The requests, by their names in the table; bodies, experiments and runs are written to the host."""
    runs = (md5(b"scale-%d" % number, usedforsecurity=False) for number in sample(range(scale.RUNS), RUNS))
    put(f"{OURS.name}-any-run", "\n".join(run.hexdigest() for run in runs))
    ordinary = range(scale.ORDINARY, scale.LARGEST + scale.EXPERIMENTS)
    put(f"{OURS.name}-any-experiment", "\n".join(str(number) for number in ordinary))
    kinds: dict[str, dict[str, object]] = {
        "": {},
        ", by a metric": {"order_by": ["metrics.loss ASC"]},
        ", with a parameter that a tenth has": {"filter": "params.layers = '7'"},
    }
    found: dict[str, Request] = {}
    for number, (words, more) in enumerate(kinds.items()):
        put(f"{OURS.name}-any-search-{number}", json.dumps({"experiment_ids": ["@ANY@"], "max_results": 100} | more))
        found[f"runs/search in any ordinary experiment{words}"] = Request(
            "POST", f"{data.API}/runs/search", f"any-search-{number}", "any-experiment"
        )
    found["runs/get, any run"] = Request("GET", f"{data.API}/runs/get?run_id=@ANY@", runs="any-run")
    put(f"{OURS.name}-any-metric", '{"run_id": "@ANY@", "key": "loss", "value": 1, "timestamp": @COUNTER@}')
    found["log-metric, any run"] = Request("POST", f"{data.API}/runs/log-metric", "any-metric", "any-run")
    return found


def _leave(memory_gib: int) -> None:
    subprocess.run(
        ["docker", "update", f"--memory={memory_gib}g", f"--memory-swap={memory_gib}g", HOST],
        check=True,
        capture_output=True,
    )


def compare() -> dict[str, dict[str, list[float]]]:
    """Requests per second in each round, by settings and request."""
    data.fill(OURS)
    data.bodies(OURS)
    wanted = requests()
    try:
        # Before its memory is limited.
        restart_with(INSTALLED)
        _leave(MEMORY_GIB)
        return in_turns(INSTEAD, lambda settings: restart_with(INSTALLED | settings), wanted)
    finally:
        # Docker cannot remove a limit, so it is raised.
        _leave(1024)
        restart_with({})


def main() -> None:
    """Measure and write."""
    size = on_host("psql", "--username=postgres", "-Atc", "SELECT pg_database_size('mlflow') >> 20")
    result = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "rounds": ROUNDS, "clients": CLIENTS}
    result |= {"left_gib": MEMORY_GIB, "database_mib": int(size), "settings": compare()}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    readme_tables.main()


if __name__ == "__main__":
    main()
