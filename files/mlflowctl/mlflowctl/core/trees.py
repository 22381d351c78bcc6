"""List, remove and chown whole directories whose parent only root can write.

Links are never followed, neither inside nor in place of the directory itself; see :mod:`mlflowctl.core.beneath`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlflowctl.core import beneath, descent


def walk(root: Path) -> Iterator[tuple[str, int]]:
    """Regular files below ``root`` with their sizes in bytes."""
    return beneath.walk(root.parent, root.name)


def size(root: Path) -> int | None:
    """Bytes of the files below a directory; ``None`` if there is no such directory."""
    if not root.is_dir() or root.is_symlink():
        return None
    return sum(found for _, found in walk(root))


def remove(root: Path) -> None:
    """Remove a directory and all below it, if it exists.

    Raises:
        ControlError: something in it cannot be removed.
    """
    beneath.remove(root.parent, root.name)


def chown(root: Path, user: str, group: str) -> None:
    """Change the owner of everything below ``root``, and set the setgid bit of its directories.

    Raises:
        ControlError: a file has a hard link outside.
    """
    beneath.chown(root.parent, root.name, descent.Owner.named(user, group))
