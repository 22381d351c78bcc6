"""What an attack has seen: answers by status, and behaviour that is not right."""

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

# Of each kind; a soak that fails does so thousands of times.
FAULTS = 20
NO_ANSWER = "none"


@dataclass
class Found:
    """The findings of one attack.

    Attributes:
        answers: how many of each status; ``none`` for a connection that ended without one.
        faults: what was wrong, in words.
    """

    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, words: str) -> None:
        """Note something wrong, once."""
        if words not in self.faults and len(self.faults) < FAULTS:
            self.faults.append(words)

    def expect(self, what: str, status: str, right: Collection[str], body: str | None = None) -> None:
        """Note an answer; a refusal with a body has to be JSON with MLflow's two words."""
        self.answers[status] += 1
        if status not in right:
            self.fault(f"{what}: {status}, right is {' or '.join(sorted(right))}")
        elif body is not None and status.startswith("4") and not readable(body):
            self.fault(f"{what}: {status} without error_code and message in JSON")

    def ask(self, what: str, right: Collection[str], http: requests.Session, method: str, url: str, **more: Any) -> str:
        """Send a request with requests, and note its answer; returns the status."""
        try:
            answer = http.request(method, url, timeout=more.pop("timeout", 60), **more)
        except requests.RequestException:
            self.expect(what, NO_ANSWER, right)
            return NO_ANSWER
        self.expect(what, str(answer.status_code), right, answer.text if method != "HEAD" else None)
        return str(answer.status_code)


@dataclass
class Attack:
    """What a module's function gets.

    Attributes:
        target: the server.
        dice: what the inputs are thrown with; the same seed gives the same ones.
        ends: by ``time.monotonic()``.
        found: where the findings go.
    """

    target: Target
    dice: Random
    ends: float
    found: Found

    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.ends

    def left(self, most: float = 600) -> float:
        """Seconds that are left."""
        return min(most, max(0.0, self.ends - time.monotonic()))

    def word(self, length: int = 12) -> str:
        """Letters that nobody else uses."""
        return "".join(self.dice.choices("abcdefghijklmnopqrstuvwxyz", k=length))


def readable(body: str) -> bool:
    """Whether MLflow's client would show what is in an answer."""
    try:
        found = json.loads(body)
    except ValueError:
        return False
    # The second is how MLflow's ASGI routes say it.
    return isinstance(found, dict) and bool((found.get("error_code") and found.get("message")) or found.get("detail"))
