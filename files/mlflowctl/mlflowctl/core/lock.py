"""One operation at a time: backup, restore, drill, retention, gc.

The kernel holds the lock (``flock``), so a crash cannot leave it behind.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflowctl.core.errors import Busy


@contextmanager
def exclusive(state_path: Path, operation: str) -> Iterator[None]:
    """Hold the lock for ``operation``.

    Raises:
        Busy: another operation holds it; the message names it.
    """
    path = state_path / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another operation"
            raise Busy(f"{holder} is running and holds {path}: wait for it, then repeat") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{operation} (process {os.getpid()})\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
