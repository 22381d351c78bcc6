"""Is the artifact volume there, the right one, and writable?

The volume carries a sentinel, ``.volume-id``; the host remembers its value.
If the volume is not mounted, the directory below its mount point has no
sentinel, and the service must not start and fill the wrong disk.

nginx also reads and writes the volume. While the service runs, a file in its
runtime directory says that the volume is right (``mlflow_host.core.serving``); the workers look
once a second whether it still is.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow_host.core import serving
from mlflow_host.core.settings import SettingsError, required

SENTINEL = ".volume-id"
# Seconds.
BETWEEN_LOOKS = 1.0

_logger = logging.getLogger(__name__)


class VolumeError(RuntimeError):
    """The artifact volume is missing, not ours, or cannot be written."""


@dataclass(frozen=True)
class Volume:
    """Where the volume is mounted, and which one it must be."""

    path: Path
    id_file: Path

    @property
    def store(self) -> Path:
        """The directory that holds the artifacts."""
        return self.path / "store"


def from_environment() -> Volume:
    """The volume that the unit's environment names.

    Raises:
        SettingsError: ``MLFLOW_VOLUME_PATH`` or ``MLFLOW_VOLUME_ID_FILE`` is not set.
    """
    return Volume(Path(required("MLFLOW_VOLUME_PATH")), Path(required("MLFLOW_VOLUME_ID_FILE")))


def identify(volume: Volume) -> None:
    """Compare the sentinel.

    Raises:
        VolumeError: says which volume, what is wrong and what to do.
    """
    try:
        expected = volume.id_file.read_text().strip()
    except OSError as error:
        raise VolumeError(f"cannot read {volume.id_file}: {error.strerror}") from error
    try:
        found = (volume.path / SENTINEL).read_text().strip()
    except OSError as error:
        raise VolumeError(
            f"{volume.path} has no {SENTINEL} ({error.strerror}): is the artifact volume mounted?"
        ) from error
    if found != expected:
        raise VolumeError(f"{volume.path} is volume {found}, but this host serves {expected}: mount the right volume")


def check(volume: Volume) -> None:
    """Compare the sentinel and write one byte, as the user that calls.

    Raises:
        VolumeError: says which volume, what is wrong and what to do.
    """
    identify(volume)
    try:
        with tempfile.TemporaryFile(dir=volume.store) as probe:
            probe.write(b"1")
            probe.flush()
    except OSError as error:
        raise VolumeError(f"cannot write to {volume.store}: {error.strerror}") from error


class Presence:
    """Tells nginx, at most once a second, whether the volume is there: without it no artifact is missing.

    Args:
        volume: which one.
        place: the unit's runtime directory.
    """

    def __init__(self, volume: Volume, place: Path) -> None:
        self.volume = volume
        self.right, self.missing = place / serving.VOLUME_IS_RIGHT, place / serving.VOLUME_IS_MISSING
        self.looked = 0.0

    def look(self) -> None:
        """Make or remove the marks."""
        if time.monotonic() - self.looked < BETWEEN_LOOKS:
            return
        self.looked = time.monotonic()
        try:
            identify(self.volume)
        except VolumeError as error:
            if not self.missing.exists():
                _logger.warning("artifacts are refused: %s", error)
            there, gone = self.missing, self.right
        else:
            there, gone = self.right, self.missing
        try:
            gone.unlink(missing_ok=True)
            there.touch()
        except OSError as error:
            _logger.warning("cannot tell nginx of the volume: %s", error)


def presence() -> Presence | None:
    """What the unit's environment says; None in a rehearsed server, which has no nginx to tell.

    Raises:
        SettingsError: a variable is not set.
    """
    place = serving.directory()
    return Presence(from_environment(), place) if place else None


def main() -> int:
    """Exit 0 if the volume is fine, else 1 with the reason on standard error."""
    try:
        check(from_environment())
        if place := serving.directory():
            (place / serving.VOLUME_IS_RIGHT).touch()
    except (SettingsError, VolumeError) as error:
        serving.failed("volume")
        print(f"refusing to start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
