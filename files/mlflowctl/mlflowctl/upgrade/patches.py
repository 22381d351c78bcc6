"""Which patches of MLflow are off in the running server, and which do not fit another release."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from mlflowctl.core import service
from mlflowctl.core.config import Instance
from mlflowctl.core.process import run as run_program

# The server's account writes the file: no more of it is read.
MOST_BYTES = 1 << 16


def disabled(instance: Instance) -> list[str]:
    """The patches that are off in the running server, and why; empty if the server does not report it.

    Args:
        instance: which one.
    """
    try:
        found = json.loads(_read(instance.reports_path / "patches.json"))
    except (OSError, ValueError):
        return []
    return [f"{name}: {why}" for name, why in sorted(found.items())] if isinstance(found, dict) else []


def _read(path: Path) -> bytes:
    """The beginning of a regular file; a link or a pipe is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read(MOST_BYTES)


def query(instance: Instance, release: Path) -> tuple[list[str], str]:
    """Ask an installed release which patches do not fit it.

    Args:
        instance: which one.
        release: its virtualenv.

    Returns:
        The speed patches that do not fit, and why it must not serve; empty if it may.
    """
    done = run_program(
        [str(release / "bin/python"), "-W", "ignore", "-m", "mlflow_host.patches.registry"],
        service.environment(instance),
        accept=(0, 1),
        cwd="/",
        **service.user(instance),
    )
    if done.returncode:
        *_, reason = done.stderr.strip().splitlines() or ["no reason given"]
        return [], reason
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return list(answer["patches_off"]), ""
