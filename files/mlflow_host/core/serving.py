"""Tell nginx whether MLflow serves, and why not if its start has failed.

A request waits while MLflow starts, and is answered at once when the start has failed.
nginx checks for files in the unit's runtime directory and does not read them: only their
names matter. systemd keeps the directory over restarts and removes it when the unit is
stopped.

``python -m mlflow_host.core.serving [stopping]`` is what the unit runs when it stops.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The files that nginx checks for: roles/mlflow_proxy, nginx/serve.lua.
READY = "ready"
# While it exists nginx may read and write artifacts itself.
VOLUME_IS_RIGHT = "volume-is-right"
VOLUME_IS_MISSING = "volume-is-missing"
# While it exists nginx refuses uploads.
VOLUME_IS_FULL = "volume-is-full"
REASONS = ("volume", "database", "schema", "start")


def directory() -> Path | None:
    """The unit's runtime directory; None in a restore drill, which has no nginx."""
    found = os.environ.get("RUNTIME_DIRECTORY")
    return Path(found) if found else None


def failed(reason: str) -> None:
    """Record that a start has failed.

    Args:
        reason: one of ``REASONS``.
    """
    if place := directory():
        _remove(place, *(f"failed-{other}" for other in REASONS if other != reason))
        (place / f"failed-{reason}").touch()


def ready() -> None:
    """Record that everything is loaded: called by gunicorn's hook ``when_ready``."""
    if place := directory():
        _remove(place, *(f"failed-{reason}" for reason in REASONS))
        (place / READY).touch()


def stopping() -> None:
    """Make requests wait in nginx from now on, and not in the socket's queue, where nothing could answer them."""
    if place := directory():
        _remove(place, READY)


def ended(result: str) -> None:
    """Record that the unit has stopped, for whatever reason.

    Args:
        result: systemd's ``SERVICE_RESULT``.
    """
    place = directory()
    if not place or not place.is_dir():
        return
    served = (place / READY).exists()
    _remove(place, READY, VOLUME_IS_RIGHT, VOLUME_IS_MISSING, VOLUME_IS_FULL)
    known = any((place / f"failed-{reason}").exists() for reason in REASONS)
    # A server that was killed while it served is just restarted.
    if result != "success" and not served and not known:
        failed("start")


def _remove(place: Path, *names: str) -> None:
    for name in names:
        (place / name).unlink(missing_ok=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["stopping"]:
        stopping()
    else:
        ended(os.environ.get("SERVICE_RESULT", "success"))
