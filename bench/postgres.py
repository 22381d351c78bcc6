"""What each of the role's PostgreSQL settings is worth to MLflow's own work: one after the other as Debian has it.

The second part of `make bench-scale`: a million runs are there. Writes
docs/results/postgres.json, and its table in docs/speed.md.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from bench import data, scale
from bench.load import Request
from bench.machine import machine
from bench.servers import OURS, ROOT, on_host
from bench.turns import CLIENTS, ROUNDS, in_turns
from scripts import readme_tables

RESULT = ROOT / "docs" / "results" / "postgres.json"
# What tells settings of PostgreSQL from each other: all it reads, what it sorts, what it filters, what it writes.
REQUESTS = (
    "runs/search in the largest experiment, by a metric",
    "runs/search in the largest experiment, with a parameter that a tenth has",
    "runs/search in an ordinary experiment",
    "log-metric",
    "create-run",
)

# Seconds after a restart, in which memory and connections become what they are in use.
SECONDS_TO_WARM_UP = 3
BATCH = Request("POST", f"{data.API}/runs/log-batch", "batch", "runs")
# PostgreSQL's own defaults.
WITHOUT = {
    "as installed": {},
    "`shared_buffers` 128 MB": {"shared_buffers": "128MB"},
    "`work_mem` 4 MB": {"work_mem": "4MB"},
    "`jit` on": {"jit": "on"},
    "`random_page_cost` 4, `effective_io_concurrency` 1": {"random_page_cost": "4", "effective_io_concurrency": "1"},
    "`effective_cache_size` 4 GB": {"effective_cache_size": "4GB"},
    "`wal_compression` off, checkpoint each 5 min or 1 GB": {
        "wal_compression": "off",
        "checkpoint_timeout": "5min",
        "max_wal_size": "1GB",
    },
    "no parallel plans": {"max_parallel_workers_per_gather": "0"},
}


def _set(settings: dict[str, str]) -> None:
    """Restart PostgreSQL with these instead of the role's, which win over nothing that ALTER SYSTEM has said."""
    words = ["ALTER SYSTEM RESET ALL", *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items())]
    for word in words:
        on_host("psql", "--username=postgres", "--quiet", "-c", word)
    on_host("systemctl", "restart", "postgresql.service")
    for name, value in settings.items():
        found = on_host("psql", "--username=postgres", "-Atc", f"SHOW {name}").strip()
        if found != value:
            raise SystemExit(f"PostgreSQL has {name} = {found} instead of {value}")
    time.sleep(SECONDS_TO_WARM_UP)


def compare() -> dict[str, dict[str, list[float]]]:
    """Requests per second in each round, by settings and request."""
    data.fill(OURS)
    data.bodies(OURS)
    wanted = scale.requests()
    requests = {name: wanted[name] for name in REQUESTS} | {"log-batch, 1,000 metrics": BATCH}
    try:
        return in_turns(WITHOUT, _set, requests)
    finally:
        _set({})


def main() -> None:
    """Measure and write."""
    result = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "rounds": ROUNDS, "clients": CLIENTS}
    RESULT.write_text(json.dumps(result | {"settings": compare()}, indent=2) + "\n")
    readme_tables.main()


if __name__ == "__main__":
    main()
