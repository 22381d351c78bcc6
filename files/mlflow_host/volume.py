"""Is the artifact volume there, the right one, and writable?

The volume carries a sentinel, ``.volume-id``; the host remembers its value.
If the volume is not mounted, the directory below its mount point has no
sentinel, and the service must not start and fill the wrong disk.

nginx also reads and writes the volume. While the service runs, a file in its
runtime directory says that the volume is right; systemd removes it with the
service, however that ends.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow_host.settings import SettingsError, required

SENTINEL = ".volume-id"
RIGHT = "volume-is-right"


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


def check(volume: Volume) -> None:
    """Compare the sentinel and write one byte, as the user that calls.

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
    try:
        with tempfile.TemporaryFile(dir=volume.store) as probe:
            probe.write(b"1")
            probe.flush()
    except OSError as error:
        raise VolumeError(f"cannot write to {volume.store}: {error.strerror}") from error


def main() -> int:
    """Exit 0 if the volume is fine, else 1 with the reason on standard error."""
    try:
        check(from_environment())
        if directory := os.environ.get("RUNTIME_DIRECTORY"):
            (Path(directory) / RIGHT).touch()
    except (SettingsError, VolumeError) as error:
        print(f"refusing to start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
