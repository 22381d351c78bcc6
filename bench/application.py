"""Measure the effect of each setting of MLflow's processes: `make bench-application`, minutes on an idle machine.

Writes docs/results/application.json, and its table in docs/speed.md.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import data
from bench.load import SCRIPT, Request, put
from bench.machine import machine
from bench.servers import OURS, ROOT, ask, install_tools, memory, on_host
from bench.turns import CLIENTS, ROUNDS, in_turns
from scripts import readme_tables

RESULT = ROOT / "docs" / "results" / "application.json"
SECONDS_TO_WARM_UP = 3
DROP_IN = "/run/systemd/system/mlflow.service.d/bench.conf"
CONFIGURATION, CHANGED = "/etc/mlflow/gunicorn.conf.py", "/run/bench-gunicorn.conf.py"
MEMORY = "memory, MiB PSS"
REQUESTS = {
    "log-metric": Request("POST", f"{data.API}/runs/log-metric", "metric", "runs"),
    "create-run": Request("POST", f"{data.API}/runs/create", "run"),
    "runs/search, 100 runs": Request("POST", f"{data.API}/runs/search", "runs-search"),
    "log-batch, 1,000 metrics": Request("POST", f"{data.API}/runs/log-batch", "batch", "runs"),
}


@dataclass(frozen=True)
class Instead:
    """A difference from what is installed.

    Attributes:
        arguments: of gunicorn; they override its configuration.
        environment: of the unit.
        loaded: a library that the service must have in memory, or the measurement is invalid.
        left_out: a line to remove from gunicorn's configuration.
    """

    arguments: str = ""
    environment: str = ""
    loaded: str = ""
    left_out: str = ""


SETTINGS = {
    "as installed": Instead(),
    "1 worker": Instead(arguments="--workers=1"),
    "4 workers": Instead(arguments="--workers=4"),
    "2 threads in each worker": Instead(arguments="--threads=2"),
    "16 threads in each worker": Instead(arguments="--threads=16"),
    "each worker loads MLflow for itself": Instead(left_out="preload_app = True"),
    "the garbage collector as Python has it": Instead(left_out="memory.settle()"),
    "gunicorn's own threaded worker": Instead(arguments="--worker-class=gthread"),
    "one arena of malloc (`MALLOC_ARENA_MAX=1`)": Instead(environment="MALLOC_ARENA_MAX=1"),
    "jemalloc": Instead(environment="LD_PRELOAD=libjemalloc.so.2", loaded="libjemalloc.so.2"),
}


def use(instead: Instead) -> None:
    """Restart MLflow with it.

    Raises:
        SystemExit: the line to leave out is not there, or the library is not loaded.
    """
    text = on_host("cat", CONFIGURATION)
    if instead.left_out not in text:
        raise SystemExit(f"{CONFIGURATION} has no line {instead.left_out}")
    on_host("tee", CHANGED, stdin=text.replace(instead.left_out, "pass") if instead.left_out else text)
    command = f"/opt/mlflow/current/bin/gunicorn --config {CHANGED} {instead.arguments}"
    on_host("mkdir", "--parents", os.path.dirname(DROP_IN))
    on_host("tee", DROP_IN, stdin=f"[Service]\nEnvironment={instead.environment}\nExecStart=\nExecStart={command}\n")
    _restart()
    process = on_host("systemctl", "show", "--property=MainPID", "--value", "mlflow.service").strip()
    on_host("grep", "--quiet", "--fixed-strings", instead.loaded, f"/proc/{process}/maps")


def _restart() -> None:
    on_host("systemctl", "daemon-reload")
    on_host("systemctl", "restart", "mlflow.service")
    # The first request waits in the socket until there is a worker.
    ask(OURS, "GET", f"{data.API}/experiments/get?experiment_id=0")
    time.sleep(SECONDS_TO_WARM_UP)


def main() -> None:
    """Measure and write."""
    install_tools()
    on_host("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "libjemalloc2")
    put("requests.lua", SCRIPT)
    data.fill(OURS)
    data.bodies(OURS)
    try:
        found = in_turns(SETTINGS, use, REQUESTS, lambda: {MEMORY: memory(OURS)})
    finally:
        on_host("rm", "--force", DROP_IN, CHANGED)
        _restart()
    result = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "rounds": ROUNDS, "clients": CLIENTS}
    RESULT.write_text(json.dumps(result | {"settings": found}, indent=2) + "\n")
    readme_tables.main()


if __name__ == "__main__":
    main()
