"""Waiting for a server."""

from __future__ import annotations

import time
from typing import Any


def wait_until_ready(http: Any, server: Any) -> None:
    """A client's view: MLflow answers again, within half a minute."""
    for _ in range(60):
        if http.get(server.url + "/ready").ok:
            return
        time.sleep(0.5)
    raise AssertionError("MLflow does not come back")
