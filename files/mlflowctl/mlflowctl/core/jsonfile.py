"""Small JSON files that are replaced atomically and readable by root only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mlflowctl.core.errors import ControlError


def read(path: Path, absent: Any) -> Any:
    """The content of a file; ``absent`` if it does not exist.

    Raises:
        ControlError: it cannot be read.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return absent
    except (OSError, ValueError) as error:
        raise ControlError(f"cannot read {path} ({error}): restore it from a recovery point") from error


def write(path: Path, data: Any) -> None:
    """Replace a file; after a crash it is the old one or the new one."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(data, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
