"""``/ready``: can this process do its work right now?

MLflow's ``/health`` is a constant. This asks the database one question,
through the pool that requests use, and writes one byte to the volume.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from mlflow_host import volume

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Check = Callable[[], None]

_logger = logging.getLogger(__name__)


def database() -> None:
    """Run one query through the tracking store's own connection pool.

    Raises:
        Exception: whatever the store or the driver raises.
    """
    from mlflow.server.handlers import _get_tracking_store
    from sqlalchemy import text

    store: Any = _get_tracking_store()
    with store.engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def artifact_volume() -> None:
    """Compare the sentinel and write to the volume.

    Raises:
        volume.VolumeError: the volume is missing, wrong or not writable.
    """
    volume.check(volume.from_environment())


class Ready:
    """WSGI middleware that answers ``/ready`` and passes everything else on.

    The answer is JSON: 200 when every check passes, otherwise 503 with
    ``Retry-After`` (seconds). The reason of a failure goes to the journal,
    not to the client.
    """

    def __init__(self, application: Application, checks: dict[str, Check] | None = None) -> None:
        self._application = application
        self._checks = checks or {"database": database, "volume": artifact_volume}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/ready":
            return self._application(environ, start_response)
        results = {name: self._run(name, check) for name, check in self._checks.items()}
        ready = all(result == "ok" for result in results.values())
        body = json.dumps({"ready": ready, "checks": results}).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
        if not ready:
            headers.append(("Retry-After", "5"))
        start_response("200 OK" if ready else "503 Service Unavailable", headers)
        return [body]

    @staticmethod
    def _run(name: str, check: Check) -> str:
        try:
            check()
        except Exception:
            _logger.exception("not ready: %s", name)
            return "failed"
        return "ok"
