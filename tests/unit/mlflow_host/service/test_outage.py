"""The journal while the database is unavailable: one line a minute, and one when it is back."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from mlflow_host.service import outage

GONE = (
    '(psycopg2.OperationalError) connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory\n'
    "\tIs the server running locally and accepting connections on that socket?"
)


class Journal(logging.Handler):
    """Records its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Record all of them, including tracebacks."""
        self.lines += self.format(record).splitlines()


@pytest.fixture
def journal() -> Any:
    """A logger, the outage that filters it, its lines, and a clock to move."""
    now = [1000.0]
    found, journal = outage.Outage(lambda: now[0]), Journal()
    journal.addFilter(found)
    loggers = logging.getLogger("stand.in"), logging.getLogger(outage.__name__)
    for logger in loggers:
        logger.addHandler(journal)
        logger.propagate = False
        logger.setLevel(logging.INFO)
    yield loggers[0], found, journal.lines, now
    for logger in loggers:
        logger.removeHandler(journal)
        logger.propagate = True


def fail(logger: logging.Logger, words: str = GONE) -> None:
    """As a server logs it: its own error, caused by the driver's."""
    try:
        try:
            raise OSError(words)
        except OSError as error:
            raise RuntimeError("wrapped") from error
    except RuntimeError:
        logger.exception("Exception on /api [GET]")


def test_one_line_a_minute(journal: Any) -> None:
    """Instead of hundreds of tracebacks; the next line has their number."""
    logger, found, lines, now = journal
    for _ in range(200):
        fail(logger)
        logger.warning("SQLAlchemy engine could not be created. %s", GONE)
        logger.info("Create SQLAlchemy engine with pool options {}")
        now[0] += 0.25
    first = 'the database does not answer: connection to server on socket "/run/.s.PGSQL.5432" failed: '
    assert lines == [first + "No such file or directory"]
    now[0] += 20
    fail(logger)
    assert lines[1:] == [lines[0] + " (399 more since the last message)"]
    found.recovered()
    found.recovered()
    assert lines[2:] == ["the database answers again, after 70 s"]
    fail(logger)
    assert len(lines) == 4


@pytest.mark.parametrize(
    "words",
    [
        "server closed the connection unexpectedly\n\tThis probably means",
        "FATAL:  the database system is shutting down",
        "FATAL:  the database system is starting up",
        "FATAL:  terminating connection due to administrator command",
        'connection to server at "10.0.0.1", port 5432 failed: Connection refused',
        "connection already closed",
        "FATAL:  sorry, too many clients already",
    ],
)
def test_all_errors_of_an_outage_are_recognized(journal: Any, words: str) -> None:
    """For every kind of outage of PostgreSQL."""
    logger, _, lines, _ = journal
    fail(logger, words)
    fail(logger, words)
    assert len(lines) == 1


@pytest.mark.parametrize("words", ["canceling statement due to statement timeout", "deadlock detected", "disk full"])
def test_other_faults_keep_their_tracebacks(journal: Any, words: str) -> None:
    """Each of them, also while the database is unavailable."""
    logger, _, lines, _ = journal
    fail(logger)
    for _ in range(2):
        fail(logger, words)
    assert sum("Traceback" in line for line in lines) == 4
    assert lines.count("OSError: " + words) == 2
