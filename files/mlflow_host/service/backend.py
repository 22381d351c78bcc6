"""Answer at once, and with Retry-After, while the database is unavailable.

MLflow opens its stores at the first request that needs them, and retries for minutes
without a database, so a request to a new worker waits as long. With a store that is
open it answers 500 at once, with the path of the database's socket. Here such a
request is answered with 429 if MLflow had not started it, which its client repeats in
any case, and with 503 if it had.

Source: ``create_sqlalchemy_engine_with_retry`` in ``mlflow/store/db/utils.py`` of MLflow 3.17.2.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mlflow_host.core import refusals
from mlflow_host.service import outage

_logger = logging.getLogger(__name__)

# Seconds for which a successful statement means that the database is available.
TRUSTED_SECONDS = 1.0
# Seconds after which a client may retry.
RETRY_AFTER = ("Retry-After", "5")
# Paths that need no database, with or without a static prefix.
NO_DATABASE = re.compile(
    r"/(?:health|version|ready|metrics)$|^/$|^/static-files/|/api/2\.0/mlflow-artifacts/|^/(?:docs|openapi\.json)"
)
GRAPHQL = "/graphql"
# Status, MLflow's error code and the message.
NOT_STARTED = (
    429,
    "REQUEST_LIMIT_EXCEEDED",
    "the database does not answer, and MLflow has not begun with this: try again",
)
STARTED = (
    503,
    "TEMPORARILY_UNAVAILABLE",
    "the database has gone while MLflow worked on this: see whether it was done, or try again",
)


@dataclass
class Request:
    """The database as seen by one request.

    Attributes:
        worked: number of successful statements.
        lost: whether the database did not answer.
    """

    worked: int = 0
    lost: bool = False

    @property
    def answer(self) -> tuple[int, str, str]:
        """Status, MLflow's error code and the message of the refusal."""
        return STARTED if self.worked else NOT_STARTED


# The request of this thread or task.
current: ContextVar[Request | None] = ContextVar("mlflow_host_backend_request", default=None)


class Backend:
    """The state of the database as known to this process.

    Args:
        probe: runs a query on a separate connection; raises if the database does not answer.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, probe: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._probe, self._clock = probe, clock
        self._lock = threading.Lock()
        self._worked = self._lost = float("-inf")

    def listen(self) -> None:
        """Listen to all of SQLAlchemy's engines in this process, and make MLflow try only once to open a store."""
        from mlflow.store.db import utils
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "after_cursor_execute", self.worked)
        event.listen(Engine, "handle_error", self.failed)
        # The database may go down between our check and MLflow's query, which it would retry for 100 s.
        utils.MAX_RETRY_COUNT = 1

    def worked(self, *_given: Any) -> None:
        """A statement was successful."""
        self._worked = self._clock()
        if request := current.get():
            request.worked += 1

    def failed(self, context: Any) -> None:
        """A statement or a connection has failed, maybe because the database is unavailable."""
        if context.is_pre_ping:
            # An idle connection was closed: SQLAlchemy tries a new one next.
            return
        if context.is_disconnect or outage.UNAVAILABLE.search(str(context.original_exception)):
            self._lost = self._clock()
            if request := current.get():
                request.lost = True

    def answers(self) -> bool:
        """Whether the database is available; probes it only if no statement was successful just now."""
        if self._known():
            return True
        # One probe for all waiting requests.
        with self._lock:
            if self._known():
                return True
            try:
                self._probe()
            except Exception as error:
                # Once a minute: mlflow_host.service.outage.
                _logger.warning("%s", error)
                return False
            self._worked = self._clock()
            return True

    def _known(self) -> bool:
        return self._worked > self._lost and self._clock() - self._worked < TRUSTED_SECONDS


def needs_database(path: str) -> bool:
    """Whether a request may use the database."""
    return not NO_DATABASE.search(path)


class WithBackend:
    """WSGI middleware.

    Args:
        application: MLflow's.
        backend: the state of the database.
    """

    def __init__(self, application: WSGIApplication, backend: Backend) -> None:
        self._application, self._backend = application, backend

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not needs_database(path):
            return self._application(environ, start_response)
        request = Request()
        if not self._backend.answers():
            return _refuse(request, [], start_response)
        started: list[Any] = []

        def record(*given: Any) -> Callable[[bytes], object]:
            started.append(given)
            return _no_write

        token = current.set(request)
        try:
            body = self._application(environ, record)
        finally:
            current.reset(token)
        status, headers, *error = started[-1]
        if request.lost and (int(status[:3]) >= 500 or path.endswith(GRAPHQL)):
            if hasattr(body, "close"):
                body.close()
            return _refuse(request, headers, start_response)
        start_response(status, headers, *error)
        return body


def _no_write(_data: bytes) -> None:
    raise NotImplementedError("neither MLflow nor Flask uses write()")


def _refuse(request: Request, headers: list[tuple[str, str]], start_response: StartResponse) -> Iterable[bytes]:
    # The audit log names the subject in any case.
    kept = [(name, value) for name, value in headers if name.lower().startswith("x-subject-")]
    return refusals.wsgi(start_response, *request.answer, [RETRY_AFTER, *kept])
