"""The findings of an attack: answers by status, and faults."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from random import Random
from typing import Any

import requests

from tests.abuse.target import Target

# Faults of each kind to keep: a failing soak has thousands.
FAULTS = 20
NO_ANSWER = "none"


@dataclass
class Found:
    """The findings of one attack.

    Attributes:
        answers: how many of each status; ``none`` for a connection that was closed without one.
        faults: what was wrong, as sentences.
    """

    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, words: str) -> None:
        """Record a fault, once."""
        if words not in self.faults and len(self.faults) < FAULTS:
            self.faults.append(words)

    def expect(self, what: str, status: str, right: Collection[str], body: str | None = None) -> None:
        """Record an answer; a refusal with a body must be JSON with ``error_code`` and ``message``."""
        self.answers[status] += 1
        if status not in right:
            self.fault(f"{what}: {status}, right is {' or '.join(sorted(right))}")
        elif body is not None and status.startswith("4") and not readable(body):
            self.fault(f"{what}: {status} without error_code and message in JSON")

    def ask(self, what: str, right: Collection[str], http: requests.Session, method: str, url: str, **more: Any) -> str:
        """Send a request with requests, and record its answer; returns the status."""
        try:
            answer = http.request(method, url, timeout=more.pop("timeout", 60), **more)
        except requests.RequestException:
            self.expect(what, NO_ANSWER, right)
            return NO_ANSWER
        self.expect(what, str(answer.status_code), right, answer.text if method != "HEAD" else None)
        return str(answer.status_code)


@dataclass
class Attack:
    """The argument of a module's function.

    Attributes:
        target: the server.
        rng: generator of the inputs; the same seed gives the same ones.
        deadline: by ``time.monotonic()``.
        found: collects the findings.
        timing: latencies count, so attackers only get the processor time that nobody else uses.
    """

    target: Target
    rng: Random
    deadline: float
    found: Found
    timing: bool = False

    def has_time(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.deadline

    def left(self, most: float = 600) -> float:
        """Seconds that are left."""
        return min(most, max(0.0, self.deadline - time.monotonic()))

    def word(self, length: int = 12) -> str:
        """A unique word."""
        return "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz", k=length))


def readable(body: str) -> bool:
    """Whether MLflow's client would show the message of an answer."""
    try:
        found = json.loads(body)
    except ValueError:
        return False
    # The second is the form of MLflow's ASGI routes.
    return isinstance(found, dict) and bool((found.get("error_code") and found.get("message")) or found.get("detail"))
