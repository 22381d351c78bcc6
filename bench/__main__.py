"""Measure, print the table, write bench/results.json and docs/speed.md: an hour on an idle machine.

``python -m bench [WORD…]`` measures only the rows whose names contain one of the
words, and writes nothing. ``BENCH_ROUNDS`` and ``BENCH_SECONDS`` shorten it. A run
that was interrupted continues after its last row with ``BENCH_RESUME=1``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench import data
from bench.servers import BARE, OURS, ROOT, STOCK, Server, memory, prepare
from bench.works import Work, where, works
from scripts import readme_tables

RESULTS = Path(__file__).parent / "results.json"
UNFINISHED = ROOT / ".cache" / "bench" / "rows.json"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS_UNTIL_IDLE = 30


def spread(values: list[float]) -> dict[str, float]:
    """Median, minimum and maximum, to four significant digits."""

    def digits(value: float) -> float:
        return float(f"{value:.4g}")

    return {"median": digits(median(values)), "min": digits(min(values)), "max": digits(max(values))}


def row(work: Work) -> dict[str, Any]:
    """Measure one row: the servers take turns, so that other load of the machine affects all of them alike."""
    found: dict[str, list[float]] = {server.name: [] for server in work.on}
    for server in work.on:
        if work.unit == "requests/s":
            work.measure(server)  # connections, caches and code are warm
    for _ in range(ROUNDS):
        for server in work.on:
            found[server.name].append(work.measure(server))
    return entry(work.work, work.clients, work.unit, work.better, found) | {
        "goal": work.goal,
        "limit_goal": work.limit_goal,
    }


def entry(work: str, clients: int, unit: str, better: str, found: dict[str, list[float]]) -> dict[str, Any]:
    """One row as it is stored."""
    figures = {name: spread(found[name]) if found.get(name) else None for name in ("ours", "stock", "limit")}
    ours, stock = figures["ours"], figures["stock"]
    ratio = round(ours["median"] / stock["median"], 2) if ours and stock else None
    return {"work": work, "clients": clients, "unit": unit, "better": better, **figures, "ratio": ratio}


def say(found: dict[str, Any]) -> None:
    """One line of the table, with its goals."""

    def shown(name: str) -> str:
        return f"{found[name]['median']:>10,.4g}" if found[name] else " " * 10

    ratio = f"{found['ratio']:>7.2f} ×" if found["ratio"] is not None else " " * 9
    of_limit = found["ours"]["median"] / found["limit"]["median"] if found["ours"] and found["limit"] else None
    share = f"{100 * of_limit:>5.0f} %" if of_limit else " " * 7
    higher = found["better"] == "higher"
    missed = []
    for name, value in (("goal", found["ratio"]), ("limit_goal", of_limit)):
        goal = found.get(name)
        if goal is not None and value is not None and (value < goal if higher else value > goal):
            missed.append(f"goal {goal}")
    print(
        f"{found['work']:<44}{found['clients']:>3} {found['unit']:<11}{shown('ours')}{shown('stock')}{ratio}"
        f"{shown('limit')}{share}  {', '.join(missed)}",
        flush=True,
    )


def idle() -> dict[str, Any]:
    """Memory of all processes without requests."""
    time.sleep(SECONDS_UNTIL_IDLE)
    found = {server.name: [memory(server)] for server in (OURS, STOCK)}
    return entry("memory, idle", 0, "MiB PSS", "lower", found) | {"goal": 0.4, "limit_goal": None}


def loaded() -> dict[str, Any]:
    """Memory of all processes right after the work."""
    found = {server.name: [memory(server)] for server in (OURS, STOCK)}
    return entry("memory, after all of this", 0, "MiB PSS", "lower", found) | {"goal": None, "limit_goal": None}


def get_ready() -> None:
    """The servers, the same data in both, and the bodies of the requests."""
    print("== starting stock MLflow beside ours, and filling both", flush=True)
    prepare()
    servers: tuple[Server, ...] = (OURS, STOCK, BARE)
    for server in servers:
        if server is not BARE:
            data.fill(server)
        data.bodies(server)
        data.files(server)


def main() -> None:
    """Measure and write."""
    words = sys.argv[1:]
    get_ready()
    print(f"{'work':<44}{'':>3} {'unit':<11}{'ours':>10}{'stock':>10}{'ratio':>9}{'limit':>10}{'of it':>7}", flush=True)
    if words:
        for work in works():
            if any(word in work.work for word in words):
                say(row(work))
        return
    rows: list[dict[str, Any]] = []
    if os.environ.get("BENCH_RESUME"):
        rows = json.loads(UNFINISHED.read_text())
    UNFINISHED.parent.mkdir(parents=True, exist_ok=True)
    measures: list[Callable[[], dict[str, Any]]] = [idle, *(partial(row, work) for work in works()), loaded]
    for measure in measures[len(rows) :]:
        rows.append(measure())
        say(rows[-1])
        UNFINISHED.write_text(json.dumps(rows))
    result = {"machine": where(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "rounds": ROUNDS, "rows": rows}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    readme_tables.main()


if __name__ == "__main__":
    main()
