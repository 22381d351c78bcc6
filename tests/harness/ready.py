"""Waiting for a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until_ready(http: Any, server: Any) -> None:
    """A client's view: MLflow answers again, within half a minute."""
    for _ in range(60):
        if http.get(server.url + "/ready").ok:
            return
        time.sleep(0.5)
    raise AssertionError("MLflow does not come back")


def wait_for(condition: Callable[[], Any], otherwise: str, seconds: float = 30) -> None:
    """Return as soon as a condition holds.

    Raises:
        AssertionError: With the message ``otherwise``, after so many seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.1)
