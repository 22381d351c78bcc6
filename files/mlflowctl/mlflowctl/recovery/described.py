"""What a recovery point says of itself. Whoever can write a repository can write that, so all of it is looked at.

A point's own part has files and directories only, and a description of known types: then
whatever reads it later, by path, reads a file of the point's.
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

# Bytes of a description, of which a host writes some thousand.
LARGEST = 16 << 20
TEXTS = ("store", "revision", "release", "sha256")


def read(root: Path, stage: Path, name: str) -> dict[str, Any]:
    """The description of a point that was restored below a root.

    Args:
        root: a directory that only root can enter.
        stage: the directory of the point's own part, on the host that took it.
        name: of the file in it.

    Raises:
        ControlError: it is no description, or something beside it is neither file nor directory.
    """
    below = str(stage).lstrip("/")
    try:
        refuse_others(root, below)
        with descent.opened(root, below) as directory:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size > LARGEST:
                raise ControlError(f"{name} of the point has more than {LARGEST} bytes: take another point")
            found = json.loads(file.read())
        # Below the root it is looked for at this path.
        store = found.get("store") if isinstance(found, dict) else ""
        if store and not (isinstance(store, str) and _plain(store, stage)):
            raise ControlError(f"the point has its artifacts at {shortened(store)}, which no host writes: refused")
        return checked(found)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ControlError(f"{name} of the point cannot be used ({shortened(error)}): take another point") from error


def checked(found: Any) -> dict[str, Any]:
    """A description whose fields have the types that a host writes.

    Raises:
        TypeError: a field is missing or is of another type.
        ValueError: a number or a time is none.
    """
    if not isinstance(found, dict):
        raise TypeError("it is no object")
    for name in TEXTS:
        if not (isinstance(found.get(name), str) and found[name]):
            raise TypeError(f"{name} is no text")
    for name in ("postgresql", "dump_bytes"):
        _count(name, found.get(name))
    if not isinstance(found.get("rows"), dict):
        raise TypeError("rows is no object")
    for name, count in found["rows"].items():
        _count(f"rows.{name}", count)
    if datetime.fromisoformat(found.get("database_time", "")).tzinfo is None:
        raise ValueError("database_time has no zone")
    return found


def _count(name: str, value: object) -> None:
    if type(value) is not int or value < 0:
        raise TypeError(f"{name} is no number")


def refuse_others(root: Path, below: str) -> None:
    """Refuse a directory that holds links, pipes, sockets or devices: a point's own part never does.

    Raises:
        ControlError: names the first.
        FileNotFoundError: it is not there.
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
                        f"/{shortened(path)}/{shortened(entry.name)} of the point is no file: take another point"
                    )


def _plain(store: str, stage: Path) -> bool:
    """Whether a point's store is a directory of its own on a volume: absolute, normalized, apart from the stage."""
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
