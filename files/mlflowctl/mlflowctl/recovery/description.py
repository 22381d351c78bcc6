"""The description of a recovery point. Anybody with write access to a repository can forge it, so all of it is checked.

The stage directory of a point may hold regular files and directories only, so that
reading a path below it later cannot lead anywhere else.
"""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflowctl.core import descent
from mlflowctl.core.errors import ControlError
from mlflowctl.core.printable import shortened

# Bytes of a description; a real one has a few thousand.
LARGEST = 16 << 20
TEXTS = ("store", "revision", "release", "sha256")


def read(root: Path, stage: Path, name: str) -> dict[str, Any]:
    """The description of a point that was restored below a root.

    Args:
        root: a directory that only root can enter.
        stage: the stage directory on the host that took the point.
        name: of the file in it.

    Raises:
        ControlError: it is not a valid description, or something beside it is neither file nor directory.
    """
    below = str(stage).lstrip("/")
    try:
        refuse_special_files(root, below)
        with descent.opened(root, below) as directory:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size > LARGEST:
                raise ControlError(f"{name} of the point has more than {LARGEST} bytes: use another point")
            found = json.loads(file.read())
        # The artifacts are read from this path below the root.
        store = found.get("store") if isinstance(found, dict) else ""
        if store and not (isinstance(store, str) and _is_valid_store(store, stage)):
            raise ControlError(
                f"the point claims that its artifacts are at {shortened(store)}, which is not a valid path: refused"
            )
        return checked(found)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ControlError(f"{name} of the point cannot be used ({shortened(error)}): use another point") from error


def checked(found: Any) -> dict[str, Any]:
    """A description whose fields have the types that a host writes.

    Raises:
        TypeError: a field is missing or has another type.
        ValueError: a number or a time is invalid.
    """
    if not isinstance(found, dict):
        raise TypeError("it is not an object")
    for name in TEXTS:
        if not (isinstance(found.get(name), str) and found[name]):
            raise TypeError(f"{name} is not a text")
    for name in ("postgresql", "dump_bytes"):
        _count(name, found.get(name))
    if not isinstance(found.get("rows"), dict):
        raise TypeError("rows is not an object")
    for name, count in found["rows"].items():
        _count(f"rows.{name}", count)
    if datetime.fromisoformat(found.get("database_time", "")).tzinfo is None:
        raise ValueError("database_time has no time zone")
    return found


def _count(name: str, value: object) -> None:
    if type(value) is not int or value < 0:
        raise TypeError(f"{name} is not a number")


def refuse_special_files(root: Path, below: str) -> None:
    """Refuse a directory that holds links, pipes, sockets or devices, which a host never writes there.

    Raises:
        ControlError: names the first.
        FileNotFoundError: the directory does not exist.
    """
    stack = [below]
    while stack:
        path = stack.pop()
        with descent.opened(root, path) as directory, os.scandir(directory) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    stack.append(f"{path}/{entry.name}")
                elif not stat.S_ISREG(mode):
                    raise ControlError(
                        f"/{shortened(path)}/{shortened(entry.name)} of the point is not a regular file: "
                        "use another point"
                    )


def _is_valid_store(store: str, stage: Path) -> bool:
    """Whether it is an absolute, normalized path of a directory apart from the stage."""
    path = Path(store)
    return (
        str(path) == store
        and store.isprintable()
        and store.startswith("/")
        and len(path.parts) > 2
        and ".." not in path.parts
        and not path.is_relative_to(stage)
        and not stage.is_relative_to(path)
    )
