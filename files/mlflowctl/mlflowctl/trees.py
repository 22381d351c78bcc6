"""Whole directories of artifacts: list them, remove them, give them away.

However deep they are. Python 3.11's ``os.walk`` and ``shutil.rmtree`` call
themselves once for each level and end at about a thousand, and a path of two
bytes a level has room for twice as many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlflowctl.process import run


def walk(root: Path) -> Iterator[tuple[str, int]]:
    """Regular files and links below ``root`` with their sizes in bytes; follows no link."""
    stack = [""]
    while stack:
        below = stack.pop()
        with os.scandir(root / below) as entries:
            for entry in entries:
                path = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    stack.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False):
                    yield path, entry.stat(follow_symlinks=False).st_size


def remove(root: Path) -> None:
    """Remove a directory and all below it, if it is there.

    Raises:
        ControlError: something in it cannot be removed.
    """
    run(["rm", "--recursive", "--force", "--", str(root)])


def give(root: Path, user: str, group: str) -> None:
    """Make ``user`` and ``group`` own all below ``root``, and what is made in its directories ``group``'s too.

    Raises:
        ControlError: it cannot be done.
    """
    run(["chown", "--recursive", "--no-dereference", f"{user}:{group}", "--", str(root)])
    # setgid; nobody else may look.
    run(["find", str(root), "-type", "d", "-exec", "chmod", "2770", "{}", "+"])
