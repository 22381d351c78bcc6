"""Tell whether code of MLflow's is the one that ours was written for."""

from __future__ import annotations

import hashlib
import inspect


def digest(owner: type, methods: tuple[str, ...]) -> str:
    """SHA-256 of the source of these methods, one after the other, in hexadecimal."""
    source = "".join(inspect.getsource(getattr(owner, method)) for method in methods)
    return hashlib.sha256(source.encode()).hexdigest()
