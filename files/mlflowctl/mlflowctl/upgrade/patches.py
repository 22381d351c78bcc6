"""Which patches of MLflow the running server does without, and whether a release can have all."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from mlflowctl.core import service
from mlflowctl.core.config import Config
from mlflowctl.core.process import run as run_program

# The server's account writes it: more of it is not read.
MOST_BYTES = 1 << 16


def off(config: Config) -> list[str]:
    """Those that the running server is without, and why; nothing if it does not run or does not say.

    Args:
        config: the instance.
    """
    try:
        found = json.loads(_read(config.full_file.parent / "patches.json"))
    except (OSError, ValueError):
        return []
    return [f"{name}: {why}" for name, why in sorted(found.items())] if isinstance(found, dict) else []


def _read(path: Path) -> bytes:
    """A plain file's beginning; neither a link nor a pipe that somebody else has put there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no plain file")
        return file.read(MOST_BYTES)


def ask(config: Config, release: Path) -> tuple[list[str], str]:
    """Ask a release that does not serve.

    Args:
        config: the instance.
        release: its virtualenv.

    Returns:
        Those for speed that do not fit it, and why it may not serve; empty if it may.
    """
    done = run_program(
        [str(release / "bin/python"), "-W", "ignore", "-m", "mlflow_host.patches.registry"],
        service.environment(config),
        accept=(0, 1),
        cwd="/",
        **service.user(config),
    )
    if done.returncode:
        *_, reason = done.stderr.strip().splitlines() or ["it does not say why"]
        return [], reason
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return list(said["patches_off"]), ""
