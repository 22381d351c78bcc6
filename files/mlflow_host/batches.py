"""Send many changes of rows in one message.

MLflow keeps the latest value of each metric in a row of its own. A batch of a
thousand metrics changes a thousand of these rows, and by default SQLAlchemy
sends each change by itself and waits for its answer. psycopg2 can send them by
the hundred.

Source: SQLAlchemy, PostgreSQL dialect, ``executemany_mode="values_plus_batch"``.
"""

from __future__ import annotations

import inspect
from typing import Any

MODE = "values_plus_batch"
# Changes in one message.
PAGE = 500


class BatchError(RuntimeError):
    """SQLAlchemy no longer takes the parameters that we give it."""


def apply() -> None:
    """Let every engine for PostgreSQL that is made from now on send changes together.

    Raises:
        BatchError: one of the parameters is gone.
    """
    from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

    original = PGDialect_psycopg2.__init__
    if not {"executemany_mode", "executemany_batch_page_size"} <= set(inspect.signature(original).parameters):
        raise BatchError("PGDialect_psycopg2(executemany_mode=) is gone: adapt or remove mlflow_host.batches")

    def create(self: Any, executemany_mode: str = MODE, executemany_batch_page_size: int = PAGE, **named: Any) -> None:
        original(
            self,
            executemany_mode=executemany_mode,
            executemany_batch_page_size=executemany_batch_page_size,
            **named,
        )

    PGDialect_psycopg2.__init__ = create
