"""Tell nginx whether MLflow serves, and why not if its start has failed.

A request that comes while MLflow starts waits for it; one that comes when a start has
failed is answered at once. nginx looks for files in the unit's runtime directory, which it never
opens: their names say everything. systemd keeps the directory over restarts and
removes it when the unit is stopped.

``python -m mlflow_host.core.serving [stopping]`` is what the unit runs when it stops.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# What nginx looks for: roles/mlflow_proxy, nginx/serving.lua.
READY = "ready"
# While it exists nginx may read and write artifacts itself.
VOLUME_IS_RIGHT = "volume-is-right"
VOLUME_IS_MISSING = "volume-is-missing"
# While it exists nginx refuses uploads.
VOLUME_IS_FULL = "volume-is-full"
REASONS = ("volume", "database", "schema", "start")


def directory() -> Path | None:
    """The unit's runtime directory; None in a rehearsed server, which has no nginx to tell."""
    found = os.environ.get("RUNTIME_DIRECTORY")
    return Path(found) if found else None


def failed(reason: str) -> None:
    """A start has failed.

    Args:
        reason: one of ``REASONS``.
    """
    if place := directory():
        _forget(place, *(f"failed-{other}" for other in REASONS if other != reason))
        (place / f"failed-{reason}").touch()


def ready() -> None:
    """Everything is loaded: gunicorn's hook ``when_ready`` calls it."""
    if place := directory():
        _forget(place, *(f"failed-{reason}" for reason in REASONS))
        (place / READY).touch()


def stopping() -> None:
    """Requests wait in nginx from now on, and no longer in the socket's queue, where nobody could answer them."""
    if place := directory():
        _forget(place, READY)


def ended(result: str) -> None:
    """The unit has ended, however that came.

    Args:
        result: systemd's ``SERVICE_RESULT``.
    """
    place = directory()
    if not place or not place.is_dir():
        return
    served = (place / READY).exists()
    _forget(place, READY, VOLUME_IS_RIGHT, VOLUME_IS_MISSING, VOLUME_IS_FULL)
    known = any((place / f"failed-{reason}").exists() for reason in REASONS)
    # What has served and was killed only starts again.
    if result != "success" and not served and not known:
        failed("start")


def _forget(place: Path, *names: str) -> None:
    for name in names:
        (place / name).unlink(missing_ok=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["stopping"]:
        stopping()
    else:
        ended(os.environ.get("SERVICE_RESULT", "success"))
