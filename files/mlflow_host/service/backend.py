"""Answer at once, and with Retry-After, while the database is not there.

MLflow builds its stores with the first question that needs them, and tries for
minutes when there is no database: a request to a worker that is new waits as long. With a
store that was built before it answers 500 at once, and with the path of the database's socket. Here
a request that finds no database is answered with 429 where MLflow had not begun with it, which its
client repeats in any case, and with 503 where it had.

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

# Seconds for which a statement that worked says that the next one will.
TRUSTED = 1.0
# After how many seconds a client may come again.
AGAIN = ("Retry-After", "5")
# What needs no database, with or without a static prefix.
NO_DATABASE = re.compile(
    r"/(?:health|version|ready|metrics)$|^/$|^/static-files/|/api/2\.0/mlflow-artifacts/|^/(?:docs|openapi\.json)"
)
GRAPHQL = "/graphql"
# Status, MLflow's error code and the message.
NEVER_BEGAN = (
    429,
    "REQUEST_LIMIT_EXCEEDED",
    "the database does not answer, and MLflow has not begun with this: try again",
)
BEGAN = (
    503,
    "TEMPORARILY_UNAVAILABLE",
    "the database has gone while MLflow worked on this: see whether it was done, or try again",
)


@dataclass
class Request:
    """What one request met.

    Attributes:
        worked: statements that the database has done.
        lost: the database did not answer.
    """

    worked: int = 0
    lost: bool = False

    @property
    def answer(self) -> tuple[int, str, str]:
        """Status, MLflow's error code and the message of the refusal."""
        return BEGAN if self.worked else NEVER_BEGAN


# Of the request that this thread, or task, works on.
current: ContextVar[Request | None] = ContextVar("mlflow_host_backend_request", default=None)


class Backend:
    """What this process knows of the database.

    Args:
        probe: asks it one question on a connection of its own; raises if it does not answer.
        clock: seconds that only grow.
    """

    def __init__(self, probe: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._probe, self._clock = probe, clock
        self._lock = threading.Lock()
        self._worked = self._lost = float("-inf")

    def listen(self) -> None:
        """Hear of what all of SQLAlchemy's engines in this process meet, and have MLflow try once to build a store."""
        from mlflow.store.db import utils
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "after_cursor_execute", self.worked)
        event.listen(Engine, "handle_error", self.failed)
        # The database may go between our question and MLflow's, which it would repeat for 100 s.
        utils.MAX_RETRY_COUNT = 1

    def worked(self, *_given: Any) -> None:
        """The database has done a statement."""
        self._worked = self._clock()
        if request := current.get():
            request.worked += 1

    def failed(self, context: Any) -> None:
        """A statement or a connection has failed: because the database is not there?"""
        if context.is_pre_ping:
            # Of a connection that had been idle: a new one is tried next.
            return
        if context.is_disconnect or outage.AWAY.search(str(context.original_exception)):
            self._lost = self._clock()
            if request := current.get():
                request.lost = True

    def answers(self) -> bool:
        """Whether the database is there; asks it only if nothing has worked just now."""
        if self._known():
            return True
        # One question for all that wait.
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
        return self._worked > self._lost and self._clock() - self._worked < TRUSTED


def needs_database(path: str) -> bool:
    """Whether a request may ask the database."""
    return not NO_DATABASE.search(path)


class WithBackend:
    """WSGI middleware.

    Args:
        application: MLflow's.
        backend: what is known of the database.
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

        def note(*given: Any) -> Callable[[bytes], object]:
            started.append(given)
            return _no_write

        token = current.set(request)
        try:
            body = self._application(environ, note)
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
    raise NotImplementedError("neither MLflow nor Flask writes in this way")


def _refuse(request: Request, headers: list[tuple[str, str]], start_response: StartResponse) -> Iterable[bytes]:
    # The audit trail says what was asked for in any case.
    kept = [(name, value) for name, value in headers if name.lower().startswith("x-subject-")]
    return refusals.wsgi(start_response, *request.answer, [AGAIN, *kept])
