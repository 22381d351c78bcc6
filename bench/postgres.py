"""Measure the effect of each of the role's PostgreSQL settings: one after the other is set to Debian's default.

The second part of `make bench-scale`: a million runs are there. Writes
docs/results/postgres.json, and its table in docs/speed.md.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from bench import data, scale
from bench.application import REQUESTS as WRITING
from bench.load import load
from bench.machine import machine
from bench.servers import OURS, ROOT, on_host
from bench.turns import CLIENTS, ROUNDS, in_turns
from scripts import readme_tables

RESULT = ROOT / "docs" / "results" / "postgres.json"
# Requests that depend on PostgreSQL's settings: they sort, filter, read a lot, or write.
SEARCHES = (
    "runs/search in the largest experiment, by a metric",
    "runs/search in the largest experiment, with a parameter that a tenth has",
    "runs/search in an ordinary experiment",
)
WRITES = ("log-metric", "create-run", "log-batch, 1,000 metrics")

# Seconds to warm up memory and connections after a restart; runs are
# created more slowly until then.
SECONDS_TO_WARM_UP = 10
# PostgreSQL's own defaults. The second entry changes nothing: its difference is noise.
WITHOUT = {
    "as installed": {},
    "nothing, measured once more": {},
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
    "`parallel_setup_cost` 1000": {"parallel_setup_cost": "1000"},
}


def restart_with(settings: dict[str, str]) -> None:
    """Restart PostgreSQL with these instead of the role's, by ALTER SYSTEM, which overrides configuration files."""
    words = ["ALTER SYSTEM RESET ALL", *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items())]
    for word in words:
        on_host("psql", "--username=postgres", "--quiet", "-c", word)
    on_host("systemctl", "restart", "postgresql.service")
    for name, value in settings.items():
        found = on_host("psql", "--username=postgres", "-Atc", f"SHOW {name}").strip()
        if found != value:
            raise SystemExit(f"PostgreSQL has {name} = {found} instead of {value}")
    load(OURS, WRITING["create-run"], CLIENTS, SECONDS_TO_WARM_UP)


def compare() -> dict[str, dict[str, list[float]]]:
    """Requests per second in each round, by settings and request."""
    data.fill(OURS)
    data.bodies(OURS)
    wanted = scale.requests()
    requests = {name: wanted[name] for name in SEARCHES} | {name: WRITING[name] for name in WRITES}
    try:
        return in_turns(WITHOUT, restart_with, requests)
    finally:
        restart_with({})


def main() -> None:
    """Measure and write."""
    result = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "rounds": ROUNDS, "clients": CLIENTS}
    RESULT.write_text(json.dumps(result | {"settings": compare()}, indent=2) + "\n")
    readme_tables.main()


if __name__ == "__main__":
    main()
