"""When statistics are checked; the effect is tested on a host."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from mlflow_host.service import statistics


class Counter:
    """A clock, and a counter of calls."""

    def __init__(self) -> None:
        self.now, self.calls, self.fails = 0.0, 0, False
        self.middleware: Any = statistics.Statistics(lambda environ, start: [b"mlflow"], self.count, lambda: self.now)

    def count(self) -> None:
        """The statement that PostgreSQL would get."""
        self.calls += 1
        if self.fails:
            raise ConnectionError

    def ask(self, path: str = "/api/2.0/mlflow/runs/search") -> None:
        """One request, which MLflow always answers."""
        assert self.middleware({"PATH_INFO": path}, None) == [b"mlflow"]


@pytest.mark.parametrize(
    ("path", "checks"),
    [
        ("/api/2.0/mlflow/runs/search", 1),
        ("/ajax-api/3.0/mlflow/traces/search", 1),
        ("/graphql", 1),
        ("/api/2.0/mlflow/runs/log-metric", 0),
        ("/health", 0),
    ],
)
def test_only_searches_check_statistics(path: str, checks: int) -> None:
    """Requests that write rows do not wait."""
    counter = Counter()
    counter.ask(path)
    assert counter.calls == checks


def test_a_check_is_valid_for_a_tenth_of_a_second() -> None:
    """And a failed one for longer."""
    counter = Counter()
    counter.now = 100.0
    for seconds, checks in [(0.0, 1), (0.05, 1), (0.11, 2)]:
        counter.now = 100.0 + seconds
        counter.ask()
        assert counter.calls == checks
    counter.fails = True
    for seconds, checks in [(1.0, 3), (10.9, 3), (11.1, 4)]:
        counter.now = 100.0 + seconds
        counter.ask()
        assert counter.calls == checks


def test_searches_during_a_check_wait() -> None:
    """A search that is planned before the analysis has ended would be as slow."""
    going, ended = threading.Event(), threading.Event()
    order: list[str] = []

    def count() -> None:
        going.set()
        ended.wait(10)
        order.append("counted")

    def mlflow(_environ: Any, _start: Any) -> list[bytes]:
        order.append("searched")
        return []

    middleware: Any = statistics.Statistics(mlflow, count, lambda: 1.0)
    threads = [threading.Thread(target=middleware, args=({"PATH_INFO": "/runs/search"}, None)) for _ in range(3)]
    threads[0].start()
    going.wait(10)
    for thread in threads[1:]:
        thread.start()
    ended.set()
    for thread in threads:
        thread.join(10)
    assert order == ["counted", "searched", "searched", "searched"]
