"""Progress of an operation: messages for the journal, and the share that is done, for a terminal that follows it."""

from __future__ import annotations

import json
from collections.abc import Callable

from mlflowctl.core.config import Instance

# Writes one line of progress.
Log = Callable[[str], None]
# Takes the share of the work that is done, from 0 to 1.
ShareCallback = Callable[[float], None]


def share_writer(instance: Instance, description: str) -> ShareCallback:
    """A function that records the share of the work that is done, from 0 to 1.

    Args:
        instance: which one.
        description: of the work.
    """
    path = instance.state_path / "progress"
    partial = path.with_suffix(".partial")

    def write(share: float) -> None:
        partial.write_text(json.dumps([description, share]))
        partial.rename(path)

    return write


def read(instance: Instance) -> tuple[str, float | None]:
    """The last recorded description and share; an empty text and ``None`` if there is none."""
    try:
        description, share = json.loads((instance.state_path / "progress").read_text())
    except FileNotFoundError:
        return "", None
    return str(description), float(share)


def clear(instance: Instance) -> None:
    """Forget the progress of the last work."""
    (instance.state_path / "progress").unlink(missing_ok=True)
