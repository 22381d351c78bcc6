"""Let PostgreSQL count what a search reads, if it knows next to nothing of it.

Autovacuum looks every half minute. Until then, after a bulk load into tables that were counted
while they were empty, PostgreSQL takes them to hold one row. Any plan then looks as good as any
other, and a search of 50 ms took minutes, by nested loops over all of a table. No index and no
setting of the planner closes that for all combinations of counted and uncounted tables, so a
search has stale tables counted before it is planned.

A look is one query of the catalogue, made by one search in a tenth of a second. Counting a table
takes no longer when it is large, because PostgreSQL takes a sample; a table is not counted again
within five seconds.

Source: PostgreSQL, ``pg_class`` (``reltuples``, ``relpages``), ``ANALYZE``, "The Cumulative Statistics System".
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mlflow_host.core.settings import required
from mlflow_host.service.questions import ASKS

_logger = logging.getLogger(__name__)

# Seconds between two looks of a process, and after a look that failed.
EVERY = 0.1
AFTER_A_FAILURE = 10.0
# Seconds within which no process counts a table again.
ONCE_IN = 5
# Of a transaction that counts; "MLst" in ASCII.
LOCK = 0x4D4C7374
# Tables that have pages and were never counted, or when they were empty, or when they had half of
# their size, or since when more was changed than they had.
STALE = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
AND coalesce(pg_stat_get_last_analyze_time(c.oid), '-infinity') < clock_timestamp() - make_interval(secs => %(once_in)s)
AND (
    c.reltuples < greatest(c.relpages, 1)
    OR pg_relation_size(c.oid) > 2 * 8192 * c.relpages::bigint
    OR pg_stat_get_mod_since_analyze(c.oid) > greatest(c.reltuples, 100)
)
AND pg_relation_size(c.oid) > 0
"""


@cache
def _engine() -> Any:
    import sqlalchemy

    return sqlalchemy.create_engine(
        required("MLFLOW_BACKEND_STORE_URI"),
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 2},
    )


def count_stale(engine: Any, once_in: float = ONCE_IN) -> list[str]:
    """Have PostgreSQL count the tables that it knows too little of.

    Args:
        engine: SQLAlchemy's.
        once_in: seconds within which a table is not counted again.

    Returns:
        The tables that were counted, by this process or by one that it waited for.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    wanted = {"once_in": once_in}
    with engine.begin() as connection:
        found = connection.exec_driver_sql(STALE, wanted).scalars().all()
        if not found:
            return []
        # Who comes second waits, or its search would be planned with what is stale, and looks again.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        for table in connection.exec_driver_sql(STALE, wanted).scalars().all():
            # Autovacuum may be counting it already.
            connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {table}")
    return list(found)


class Statistics:
    """WSGI middleware: a search finds statistics that say what is there.

    Args:
        application: MLflow's.
        count: what counts; raises if it cannot.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        application: WSGIApplication,
        count: Callable[[], Any] = lambda: count_stale(_engine()),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application, self._count, self._clock = application, count, clock
        self._lock = threading.Lock()
        self._next = 0.0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if ASKS.search(environ.get("PATH_INFO", "")):
            self._look()
        return self._application(environ, start_response)

    def _look(self) -> None:
        if self._clock() < self._next:
            return
        # All that come meanwhile wait, and then need no look.
        with self._lock:
            if self._clock() < self._next:
                return
            try:
                self._count()
                self._next = self._clock() + EVERY
            except Exception as error:
                # The search itself says what is wrong with the database.
                _logger.debug("statistics were not looked at: %s", error)
                self._next = self._clock() + AFTER_A_FAILURE
