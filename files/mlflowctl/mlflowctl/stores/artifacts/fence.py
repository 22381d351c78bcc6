"""The delete fence: while a file exists, nginx answers deletions with 429 and Retry-After.

The file is in the RuntimeDirectory of the unit that raised it, so systemd
removes it when the unit ends, for whatever reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflowctl.core.errors import ControlError


class Fence:
    """The raised fence: can be lowered early, and measures how long it was up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raised = time.monotonic()
        self._dropped: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds from raised to dropped, or to now."""
        return (self._dropped or time.monotonic()) - self._raised

    def lower(self) -> None:
        """Allow deletions again; can be called more than once."""
        self._path.unlink(missing_ok=True)
        self._dropped = self._dropped or time.monotonic()


@contextmanager
def raised(path: Path) -> Iterator[Fence]:
    """Keep the fence up.

    Raises:
        ControlError: the directory does not exist, because the unit is not running.
    """
    try:
        path.touch(mode=0o644)
    except OSError as error:
        raise ControlError(
            f"cannot raise the delete fence {path} ({error.strerror}): start the backup with `mlflowctl backup`"
        ) from error
    fence = Fence(path)
    try:
        # A deletion that passed nginx just before may still be removing its files.
        time.sleep(SETTLE_SECONDS)
        yield fence
    finally:
        fence.lower()


SETTLE_SECONDS = 1.0
