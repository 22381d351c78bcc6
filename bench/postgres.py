"""What each of the role's PostgreSQL settings is worth to MLflow's own work: one after the other as Debian has it.

Part of `make bench-scale`, once a million runs are there.
"""

from __future__ import annotations

import time

from bench import data
from bench.load import Request, load
from bench.servers import OURS, on_host

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


def compare(wanted: dict[str, Request], rounds: int, seconds: int, clients: int) -> dict[str, dict[str, list[float]]]:
    """Requests per second in each round, by settings and request; all settings take turns in each round."""
    data.fill(OURS)
    data.bodies(OURS)
    requests = wanted | {"log-batch, 1,000 metrics": BATCH}
    found: dict[str, dict[str, list[float]]] = {words: {name: [] for name in requests} for words in WITHOUT}
    try:
        for _ in range(rounds):
            for words, settings in WITHOUT.items():
                _set(settings)
                for name, request in requests.items():
                    load(OURS, request, clients, 1)  # PostgreSQL's memory and the connections are warm
                    rate = load(OURS, request, clients, seconds).rate
                    found[words][name].append(float(f"{rate:.4g}"))
                    print(f"   {words:<55}{name:<50}{rate:>10,.4g}/s", flush=True)
    finally:
        _set({})
    return found
