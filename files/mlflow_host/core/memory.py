"""Exclude long-lived objects from garbage collection.

Each request through SQLAlchemy creates thousands of objects. With Python's default
thresholds they trigger collections that traverse all of MLflow.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Call it once everything is loaded, and before processes are forked from this one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
