"""``/ready``: whether this process can serve requests.

MLflow's ``/health`` is a constant. This runs a query and writes one byte to the
volume.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mlflow_host.artifacts import volume
from mlflow_host.core.settings import required
from mlflow_host.service import outage

Check = Callable[[], None]

_logger = logging.getLogger(__name__)


@cache
def _engine() -> Any:
    import sqlalchemy

    return sqlalchemy.create_engine(
        required("MLFLOW_BACKEND_STORE_URI"),
        poolclass=sqlalchemy.NullPool,
        connect_args={"connect_timeout": 3},
    )


def database() -> None:
    """Run a query on a separate connection.

    Not through MLflow's store: in a new worker, opening the store retries for
    minutes while the database is unavailable.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        SettingsError: the backend store's URL is not set.
    """
    from sqlalchemy import text

    with _engine().connect() as connection:
        connection.execute(text("SELECT 1"))


def artifact_volume() -> None:
    """Check the volume's ID and write to it.

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

    def __init__(self, application: WSGIApplication, checks: dict[str, Check] | None = None) -> None:
        self._application = application
        self._checks = checks or {"database": database, "volume": artifact_volume}
        self._logged: dict[str, tuple[str, float]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
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

    def _run(self, name: str, check: Check) -> str:
        try:
            check()
        except volume.VolumeError as error:
            self._log_once(name, str(error))
            return "failed"
        except Exception:
            _logger.exception("not ready: %s", name)
            return "failed"
        self._logged.pop(name, None)
        return "ok"

    def _log_once(self, name: str, reason: str) -> None:
        """Log a reason once per minute, like ``mlflow_host.service.outage``, however often ``/ready`` is requested."""
        text, logged = self._logged.get(name, ("", 0.0))
        if text != reason or time.monotonic() - logged >= outage.INTERVAL_SECONDS:
            self._logged[name] = (reason, time.monotonic())
            _logger.error("not ready: %s: %s", name, reason)
