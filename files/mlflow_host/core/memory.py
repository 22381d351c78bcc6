"""Keep what is loaded once out of every garbage collection.

Each request through SQLAlchemy makes thousands of objects. At Python's usual
thresholds they start collections that walk through all of MLflow.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Call it once everything is loaded, and before processes are forked from this one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
