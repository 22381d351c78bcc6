"""How far an operation is, told by its unit, shown to whoever watches it on a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable

from mlflowctl.core.config import Config

Tell = Callable[[float], None]


def teller(config: Config, words: str) -> Tell:
    """A function that notes which share of a work is done, from 0 to 1.

    Args:
        config: the instance.
        words: what the work is.
    """
    path = config.state_path / "progress"
    partial = path.with_suffix(".partial")

    def tell(share: float) -> None:
        partial.write_text(json.dumps([words, share]))
        partial.rename(path)

    return tell


def told(config: Config) -> tuple[str, float | None]:
    """What was noted last: words and share; empty words and no share if nothing was."""
    try:
        words, share = json.loads((config.state_path / "progress").read_text())
    except FileNotFoundError:
        return "", None
    return str(words), float(share)


def forget(config: Config) -> None:
    """Nothing is known of the next work yet."""
    (config.state_path / "progress").unlink(missing_ok=True)
