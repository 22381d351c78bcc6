"""Check that the artifact volume is mounted, is the right one, and is writable.

The volume has an ID file, ``.volume-id``, whose content the host knows. If the
volume is not mounted, the directory below its mount point has no such file, and
the service must not start and fill the wrong disk.

nginx also reads and writes the volume. While the service runs, a file in its
runtime directory tells nginx that the volume is right (``mlflow_host.core.serving``);
the workers check once per second that it still is.
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
INTERVAL_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class VolumeError(RuntimeError):
    """The artifact volume is missing, the wrong one, or not writable."""


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
    """Compare the volume's ID.

    Raises:
        VolumeError: names the volume, the problem and what to do.
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
    """Compare the volume's ID and write one byte, as the calling user.

    Raises:
        VolumeError: names the volume, the problem and what to do.
    """
    identify(volume)
    try:
        with tempfile.TemporaryFile(dir=volume.store) as probe:
            probe.write(b"1")
            probe.flush()
    except OSError as error:
        raise VolumeError(f"cannot write to {volume.store}: {error.strerror}") from error


class Presence:
    """Tells nginx, at most once per second, whether the volume is there: without it no artifact counts as missing.

    Args:
        volume: the volume.
        place: the unit's runtime directory.
    """

    def __init__(self, volume: Volume, place: Path) -> None:
        self.volume = volume
        self.right, self.missing = place / serving.VOLUME_IS_RIGHT, place / serving.VOLUME_IS_MISSING
        self.checked = 0.0

    def check(self) -> None:
        """Create or remove the marks."""
        if time.monotonic() - self.checked < INTERVAL_SECONDS:
            return
        self.checked = time.monotonic()
        try:
            identify(self.volume)
        except VolumeError as error:
            if not self.missing.exists():
                _logger.warning("artifacts are refused: %s", error)
            present, absent = self.missing, self.right
        else:
            present, absent = self.right, self.missing
        try:
            absent.unlink(missing_ok=True)
            present.touch()
        except OSError as error:
            _logger.warning("cannot update the volume's state for nginx: %s", error)


def presence() -> Presence | None:
    """The volume from the unit's environment; None in a restore drill, which has no nginx.

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
