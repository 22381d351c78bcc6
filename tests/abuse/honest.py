"""An honest client: logs a metric again and again, and records the time of each answer.

Reads one JSON object in a line (``url``, ``ca``, ``login``, ``run``), runs until its standard input is closed, and prints a list of
``[seconds, status]``. A separate process, so that the attacks' computing does not delay it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import requests

from tests.abuse.target import Target

PAUSE = 0.03
# An API that does not answer for so long is considered down, even on the slowest machine.
TIMEOUT = 10
NO_ANSWER = 0


def log_until_closed(wanted: dict[str, Any]) -> list[tuple[float, int]]:
    """Log metrics until standard input is closed."""
    enough = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        enough.set()

    threading.Thread(target=listen, daemon=True).start()
    found: list[tuple[float, int]] = []
    with requests.Session() as http:
        http.trust_env, http.verify, http.auth = False, wanted["ca"], tuple(wanted["login"])
        step = 0
        while not enough.is_set():
            step += 1
            body = {"run_id": wanted["run"], "key": "honest", "value": step, "timestamp": step, "step": step}
            began = time.monotonic()
            try:
                answer = http.post(f"{wanted['url']}/api/2.0/mlflow/runs/log-metric", json=body, timeout=TIMEOUT)
                status = answer.status_code
            except requests.RequestException:
                status = NO_ANSWER
            found.append((time.monotonic() - began, status))
            time.sleep(PAUSE)
    return found


class Honest:
    """The honest client, beside whatever happens within a ``with`` block."""

    def __init__(self, target: Target, run: str) -> None:
        self._wanted = {"url": target.url, "ca": target.ca, "login": target.logins["editor"], "run": run}
        self.answers: list[tuple[float, int]] = []

    def __enter__(self) -> Honest:
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.abuse.honest"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
        )  # fmt: skip
        print(json.dumps(self._wanted), file=self._process.stdin, flush=True)
        return self

    def __exit__(self, *error: object) -> None:
        message, _ = self._process.communicate(timeout=6 * TIMEOUT)
        self.answers = [(seconds, status) for seconds, status in json.loads(message or "[]")]

    def failed(self) -> int:
        """Requests that failed."""
        return sum(status != 200 for _, status in self.answers)

    def milliseconds(self) -> dict[str, float]:
        """Percentiles of the latency."""
        return percentiles([1000 * seconds for seconds, _ in self.answers])


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The 50th, 95th and 99th percentile, and the maximum."""
    if len(values) < 2:
        return dict.fromkeys(("p50", "p95", "p99", "most"), max(values, default=0.0))
    cuts = quantiles(values, n=100, method="inclusive")
    figures = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(values)}
    return {name: float(f"{value:.3g}") for name, value in figures.items()}


if __name__ == "__main__":
    print(json.dumps(log_until_closed(json.loads(sys.stdin.readline()))))
