"""Measure small requests beside large uploads, and the overloaded server, in an hour: `make bench-pressure`.

Writes docs/results/pressure.json, and its table in docs/speed.md. A run that was interrupted continues after its last
part with ``BENCH_RESUME=1``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bench import data, uploads
from bench.load import FOLDER, put, settle
from bench.machine import machine
from bench.servers import ADDRESS, BARE, HOST, OURS, ROOT, ask, install_tools, memory, on_host
from scripts import readme_tables

RESULT = ROOT / "docs" / "results" / "pressure.json"
UNFINISHED = ROOT / ".cache" / "bench" / "pressure.json"
# Each client waits for its answer and sends the next request at once. A server that handles 400 a second and has 4,000
# waiting requests has ten times of what it can do within a second.
CONNECTIONS = 4000
OVERLOAD_SECONDS = 60


def overload() -> dict[str, Any]:
    """Requests that are answered, refused and lost, the memory, and the time until all is as before."""
    settle()
    before, first = memory(OURS), _seconds_of_a_request()
    restarts = _restarts()
    command = ["docker", "exec", HOST, "wrk", "--threads=4", f"--connections={CONNECTIONS}", "--timeout=120s"]
    command += [f"--duration={OVERLOAD_SECONDS}s", "--script", f"{FOLDER}/statuses.lua", OURS.url, "--"]
    command += [f"{FOLDER}/ours-metric", f"{FOLDER}/ours-runs", OURS.headers["Authorization"]]
    most = before
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as crowd:
        while crowd.poll() is None:
            time.sleep(2)
            most = max(most, memory(OURS))
        message = crowd.stdout.read() if crowd.stdout else ""
    ended = time.monotonic()
    while _seconds_of_a_request() > 2 * first and time.monotonic() - ended < 120:
        pass
    recovery = time.monotonic() - ended
    found = re.search(r"STATUSES (\d+) (\d+) (\d+) (\d+)", message)
    if found is None:
        raise SystemExit(f"wrk did not say what it saw:\n{message}")
    answered, refused, other, broken = map(int, found.groups())
    if other:
        raise SystemExit(f"{other} answers were neither a success nor 429 or 503 with Retry-After:\n{message}")
    return {
        "connections": CONNECTIONS,
        "seconds": OVERLOAD_SECONDS,
        "answered": answered,
        "refused": refused,
        "broken": broken,
        "memory_mib": {"before": round(before), "most": round(most), "after": round(memory(OURS))},
        "restarts": _restarts() - restarts,
        "recovery_seconds": round(recovery, 1),
    }


def _seconds_of_a_request() -> float:
    start = time.monotonic()
    ask(OURS, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", patient=True)
    return time.monotonic() - start


def _restarts() -> int:
    units = on_host("systemctl", "show", "--property=NRestarts", "--value", *OURS.units, "nginx.service").split()
    killed = on_host(
        "sh", "-c", "journalctl --boot --no-pager --unit mlflow.service | grep -c 'was sent SIGKILL' || true"
    )
    return sum(map(int, units)) + int(killed)


PARTS: dict[str, Callable[[], Any]] = {
    "uploads": partial(uploads.beside, uploads.CLIENTS),
    "uploads_one_client": partial(uploads.beside, 1),
    "computing": uploads.beside_computing,
    "upload": uploads.while_searching,
    "disk": uploads.disk,
    "overload": overload,
}


def main() -> None:
    """Measure and write."""
    install_tools()
    data.fill(OURS)
    data.bodies(OURS)
    data.files(BARE)
    put("latencies.lua", (ROOT / "bench" / "wrk" / "latencies.lua").read_text())
    put("statuses.lua", (ROOT / "bench" / "wrk" / "statuses.lua").read_text())
    found: dict[str, Any] = {}
    if os.environ.get("BENCH_RESUME"):
        found = json.loads(UNFINISHED.read_text())
    UNFINISHED.parent.mkdir(parents=True, exist_ok=True)
    for name, measure in PARTS.items():
        if name not in found:
            found[name] = measure()
            print(found[name], flush=True)
            UNFINISHED.write_text(json.dumps(found))
    result = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "address": ADDRESS} | found
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    readme_tables.main()


if __name__ == "__main__":
    main()
