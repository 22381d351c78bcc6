"""Analyze tables with stale statistics before a search.

Autovacuum runs every half minute. Until then, after a bulk load into tables that were analyzed
while they were empty, PostgreSQL assumes one row for them. All plans then seem equally good, and
a search of 50 ms took minutes, with nested loops over a whole table. No index and no planner
setting prevents that for all combinations of tables, so stale tables are analyzed before a
search is planned.

The check is one query of the catalogue, run by at most one search in a tenth of a second.
Analyzing a large table takes no longer, because PostgreSQL takes a sample; a table is not
analyzed again within five seconds.

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
from mlflow_host.service.query_limits import SEARCHES

_logger = logging.getLogger(__name__)

# Seconds between two checks of a process, and after a check that failed.
INTERVAL_SECONDS = 0.1
AFTER_A_FAILURE = 10.0
# Seconds within which no process analyzes a table again.
ONCE_IN = 5
# Advisory lock of the analyzing transaction; "MLst" in ASCII.
LOCK = 0x4D4C7374
# Tables that have pages and were never analyzed, or only while they were empty or had half of
# their size, or whose number of changes since exceeds their rows.
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


def analyze_stale(engine: Any, once_in: float = ONCE_IN) -> list[str]:
    """Run ANALYZE for tables with stale statistics.

    Args:
        engine: SQLAlchemy's.
        once_in: seconds within which a table is not analyzed again.

    Returns:
        The tables that were analyzed, by this process or by one that it waited for.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    wanted = {"once_in": once_in}
    with engine.begin() as connection:
        found = connection.exec_driver_sql(STALE, wanted).scalars().all()
        if not found:
            return []
        # A second process waits, or its search would be planned with stale statistics, and checks again.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        for table in connection.exec_driver_sql(STALE, wanted).scalars().all():
            # Autovacuum may be analyzing it already.
            connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {table}")
    return list(found)


class Statistics:
    """WSGI middleware: analyzes stale tables before a search.

    Args:
        application: MLflow's.
        analyze: runs the check; raises if it fails.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        application: WSGIApplication,
        analyze: Callable[[], Any] = lambda: analyze_stale(_engine()),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application, self._analyze, self._clock = application, analyze, clock
        self._lock = threading.Lock()
        self._next = 0.0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if SEARCHES.search(environ.get("PATH_INFO", "")):
            self._check()
        return self._application(environ, start_response)

    def _check(self) -> None:
        if self._clock() < self._next:
            return
        # Searches that arrive meanwhile wait, and then need no check.
        with self._lock:
            if self._clock() < self._next:
                return
            try:
                self._analyze()
                self._next = self._clock() + INTERVAL_SECONDS
            except Exception as error:
                # The search itself reports what is wrong with the database.
                _logger.debug("statistics were not checked: %s", error)
                self._next = self._clock() + AFTER_A_FAILURE
