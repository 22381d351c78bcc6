"""Keep room on the artifact volume: nginx refuses uploads while there is less.

On most hosts the volume shares its file system with PostgreSQL, which stops when
it cannot write. So uploads end earlier than the disk. What is on its way goes on.

nginx cannot ask for free space. A file in the service's runtime directory tells
it, and goes with the service.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from mlflow_host.core import serving
from mlflow_host.core.settings import required

# Seconds.
BETWEEN_LOOKS = 1.0

_logger = logging.getLogger(__name__)


class Room:
    """Tells nginx whether there is room, at most once a second.

    Args:
        volume: a path on the artifact volume.
        reserve: bytes that stay free.
        mark: the file that is there while there is less.
    """

    def __init__(self, volume: Path, reserve: int, mark: Path) -> None:
        self.volume, self.reserve, self.mark = volume, reserve, mark
        self.looked = 0.0
        self.away = False

    def look(self) -> None:
        """Make or remove the mark. A volume that cannot be asked is for others to notice."""
        if time.monotonic() - self.looked < BETWEEN_LOOKS:
            return
        self.looked = time.monotonic()
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
            self.away = False
        except OSError as error:
            # Once: the next look is in a second.
            if not self.away:
                _logger.warning("cannot tell how much room there is on %s: %s", self.volume, error)
            self.away = True


def from_environment() -> Room | None:
    """What the unit's environment says; None in a rehearsed server, which has no nginx to tell.

    Raises:
        SettingsError: a variable is not set.
    """
    directory = os.environ.get("RUNTIME_DIRECTORY")
    if directory is None:
        return None
    reserve = int(required("MLFLOW_VOLUME_RESERVE_MIB")) << 20
    return Room(Path(required("MLFLOW_VOLUME_PATH")), reserve, Path(directory) / serving.VOLUME_IS_FULL)
