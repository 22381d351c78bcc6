"""Log one line per minute while the database is unavailable, and one when it is back.

MLflow logs a traceback of sixty lines or more for each request without a database: thousands of
lines per minute, which hide the cause. Here each process logs once per minute that the database
does not answer, with the driver's message and the number of suppressed lines.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

INTERVAL_SECONDS = 60.0
# Messages of libpq and PostgreSQL for an unavailable database, and not for a wrong or slow statement.
UNAVAILABLE = re.compile(
    r"connection to server (?:on socket|at) .{1,300}? failed: [^\n]*"
    r"|timeout expired"
    r"|could not (?:connect to server|translate host name)[^\n]*"
    r"|server closed the connection unexpectedly"
    r"|terminating connection due to (?:administrator command|unexpected postmaster exit)"
    r"|terminating connection because of crash of another server process"
    r"|the database system is (?:starting up|shutting down|in recovery mode|not yet accepting connections)"
    r"|connection (?:already closed|not open)"
    r"|SSL connection has been closed unexpectedly"
    r"|(?:sorry, too many clients already|remaining connection slots are reserved)[^\n]*",
    re.DOTALL,
)
# MLflow logs this at each attempt to open its store.
TRYING = "Create SQLAlchemy engine with pool options"

_logger = logging.getLogger(__name__)


def reason(record: logging.LogRecord) -> str:
    """The message about an unavailable database in a record; empty if it is about something else."""
    for text in _texts(record):
        if found := UNAVAILABLE.search(text):
            return " ".join(found.group().split())
    return ""


def _texts(record: logging.LogRecord) -> Iterator[str]:
    yield record.getMessage()
    waiting = [record.exc_info[1]] if record.exc_info else []
    seen: set[int] = set()
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        yield str(error)
        waiting += [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]


class Outage(logging.Filter):
    """Passes one of many records about an outage.

    Args:
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._began: float | None = None
        self._last = 0.0
        self._suppressed = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written; the text of an outage is reduced to one line."""
        if record.name == __name__:
            return True
        if record.levelno < logging.WARNING:
            return self._began is None or TRYING not in record.getMessage()
        why = reason(record)
        if not why:
            return True
        with self._lock:
            now = self._clock()
            if self._began is not None and now - self._last < INTERVAL_SECONDS:
                self._suppressed += 1
                return False
            self._began = now if self._began is None else self._began
            suppressed, self._suppressed, self._last = self._suppressed, 0, now
        record.msg = f"the database does not answer: {why}" + (
            f" ({suppressed} more since the last message)" if suppressed else ""
        )
        record.args, record.exc_info, record.exc_text, record.stack_info = (), None, None, None
        return True

    def recovered(self, *_given: Any) -> None:
        """Log that the database is back after an outage: called by SQLAlchemy for each new connection."""
        if self._began is None:
            return
        with self._lock:
            began, self._began = self._began, None
            self._suppressed = 0
        if began is not None:
            _logger.warning("the database answers again, after %.0f s", self._clock() - began)


def install() -> None:
    """Add the filter to all handlers of this process. Call it once everything is loaded."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    outage = Outage()
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    handlers = {handler for logger in loggers for handler in logger.handlers}
    if logging.lastResort:
        handlers.add(logging.lastResort)
    for handler in handlers:
        handler.addFilter(outage)
    event.listen(Engine, "connect", outage.recovered)
