"""Measure the cost of the changes since a commit: ``scripts/bench before COMMIT``, 15 minutes on an idle machine.

Two containers, one provisioned by that commit's own playbook and one by this
checkout's, take turns in one run. Writes docs/results/before.json.

A difference counts if it is larger than the noise: half of the distance between the
slowest and the fastest round of either, which two runs of the same commit show, too.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from statistics import median
from typing import Any

from bench import data
from bench.load import Request, load
from bench.machine import machine
from bench.servers import HOST, OURS, ROOT, elsewhere, install_tools

BEFORE = f"{HOST}-before"
RESULT = ROOT / "docs" / "results" / "before.json"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
REQUESTS = {
    "log-metric": Request("POST", f"{data.API}/runs/log-metric", "metric", "runs"),
    "create-run": Request("POST", f"{data.API}/runs/create", "run"),
    "log-batch, 1,000 metrics": Request("POST", f"{data.API}/runs/log-batch", "batch", "runs"),
    "runs/search, 100 runs": Request("POST", f"{data.API}/runs/search", "runs-search"),
    "artifact of 4 KiB, written": Request(
        "PUT", "{artifacts}/new/@SLOT@/@COUNTER@", "4k", type="application/octet-stream"
    ),
    "artifact of 4 KiB, read": Request("GET", "{artifacts}/read/@SLOT@"),
}


def measure(request: Request, clients: int) -> dict[str, list[float]]:
    """Requests per second of both in each round; the order alternates."""
    found: dict[str, list[float]] = {BEFORE: [], HOST: []}
    for number in range(ROUNDS + 1):
        for container in (BEFORE, HOST) if number % 2 else (HOST, BEFORE):
            with elsewhere(container):
                rate = load(OURS, request, clients, SECONDS).rate
            if number:  # the first round warms up connections, caches and code
                found[container].append(float(f"{rate:.4g}"))
    return found


def row(work: str, clients: int, found: dict[str, list[float]]) -> dict[str, Any]:
    """One row: all rounds, the ratio of the medians, and the noise as a share of the median."""
    before, now = found[BEFORE], found[HOST]
    noise = max((max(rates) - min(rates)) / 2 / median(rates) for rates in (before, now))
    ratio = median(now) / median(before)
    return {
        "work": work,
        "clients": clients,
        "unit": "requests/s",
        "before": before,
        "now": now,
        "ratio": round(ratio, 3),
        "noise": round(noise, 3),
        "within_noise": abs(ratio - 1) <= noise,
    }


def main(commit: str) -> None:
    """Measure and write."""
    for container in (BEFORE, HOST):
        with elsewhere(container):
            install_tools()
            data.fill(OURS)
            data.bodies(OURS)
            data.files(OURS)
    rows = []
    for clients in (1, 8):
        for work, request in REQUESTS.items():
            rows.append(row(work, clients, measure(request, clients)))
            print(
                f"{work:<30}{clients:>3} {median(rows[-1]['before']):>10,.4g} {median(rows[-1]['now']):>10,.4g}"
                f" {rows[-1]['ratio']:>7.3f} ± {rows[-1]['noise']:.3f}",
                flush=True,
            )
    result = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "before": commit, "rounds": ROUNDS}
    RESULT.write_text(json.dumps(result | {"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
