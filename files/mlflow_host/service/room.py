"""Reserve free space on the artifact volume: nginx refuses new uploads while there is less.

On most hosts the volume shares its file system with PostgreSQL, which stops when it
cannot write. Uploads that have started continue.

nginx cannot query free space. A file in the service's runtime directory tells it, and
is removed with the service.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from mlflow_host.core import serving
from mlflow_host.core.settings import required

INTERVAL_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class Room:
    """Tells nginx whether the volume is full, at most once per second.

    Args:
        volume: a path on the artifact volume.
        reserve: bytes that stay free.
        mark: the file that exists while less is free.
    """

    def __init__(self, volume: Path, reserve: int, mark: Path) -> None:
        self.volume, self.reserve, self.mark = volume, reserve, mark
        self.checked = 0.0
        self.unavailable = False

    def check(self) -> None:
        """Create or remove the mark. An unavailable volume is detected elsewhere."""
        if time.monotonic() - self.checked < INTERVAL_SECONDS:
            return
        self.checked = time.monotonic()
        try:
            found = os.statvfs(self.volume)
            free = found.f_bavail * found.f_frsize
            if free >= self.reserve:
                self.mark.unlink(missing_ok=True)
            elif not self.mark.exists():
                self.mark.touch()
                _logger.warning(
                    "uploads are refused: %s has %d MiB free, and mlflow_volume_reserve_mb keeps %d",
                    self.volume,
                    free >> 20,
                    self.reserve >> 20,
                )
            self.unavailable = False
        except OSError as error:
            # Once only: the next check is in a second.
            if not self.unavailable:
                _logger.warning("cannot determine the free space of %s: %s", self.volume, error)
            self.unavailable = True


def from_environment() -> Room | None:
    """The reserve from the unit's environment; None in a restore drill, which has no nginx.

    Raises:
        SettingsError: a variable is not set.
    """
    directory = os.environ.get("RUNTIME_DIRECTORY")
    if directory is None:
        return None
    reserve = int(required("MLFLOW_VOLUME_RESERVE_MIB")) << 20
    return Room(Path(required("MLFLOW_VOLUME_PATH")), reserve, Path(directory) / serving.VOLUME_IS_FULL)
