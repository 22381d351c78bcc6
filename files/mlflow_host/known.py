"""Tell whether code of MLflow's is the one that ours was written for."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Callable, Collection
from typing import Any


def digest(*functions: Callable[..., Any]) -> str:
    """SHA-256 of the source of these functions, one after the other, in hexadecimal."""
    return hashlib.sha256("".join(map(inspect.getsource, functions)).encode()).hexdigest()


def is_known(found: str, digests: Collection[str], does: str, module: str) -> bool:
    """Whether a digest is among those that a module of ours was written for; if not, the server's log says so.

    Args:
        found: of the release that is installed.
        digests: those that are known.
        does: what MLflow does there.
        module: name of the module that is not used then.
    """
    if found in digests:
        return True
    logging.getLogger(module).warning("this MLflow %s in a way of its own: %s is not used", does, module)
    return False
