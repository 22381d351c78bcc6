"""Whole directories of artifacts in a place that only root can write: list them, remove them, give them away.

No link in them is followed, nor one in the place of the directory itself; see :mod:`mlflowctl.core.beneath`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlflowctl.core import beneath, descent


def walk(root: Path) -> Iterator[tuple[str, int]]:
    """Regular files below ``root`` with their sizes in bytes."""
    return beneath.walk(root.parent, root.name)


def remove(root: Path) -> None:
    """Remove a directory and all below it, if it is there.

    Raises:
        ControlError: something in it cannot be removed.
    """
    beneath.remove(root.parent, root.name)


def give(root: Path, user: str, group: str) -> None:
    """Make ``user`` and ``group`` own all below ``root``, and what is made in its directories ``group``'s too.

    Raises:
        ControlError: it cannot be done.
    """
    beneath.give(root.parent, root.name, descent.Owner.named(user, group))
