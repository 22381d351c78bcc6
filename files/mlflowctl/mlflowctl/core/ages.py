"""Durations as people write them."""

from __future__ import annotations

import re

from mlflowctl.core.errors import Refused

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def parse_age(text: str, option: str) -> int:
    """Seconds of an age such as ``30d`` or ``12h``, given as ``option``.

    Raises:
        ControlError: it is not one.
    """
    found = re.fullmatch(r"(\d+)([dhms])", text)
    if found is None:
        raise Refused(f"{option} is {text!r}: use a number and d, h, m or s, such as 30d")
    return int(found[1]) * _UNITS[found[2]]


def age(seconds: float) -> str:
    """A number of seconds as text, in the largest unit of which there are at least two: ``36h``, ``3d``."""
    whole = max(0, int(seconds))
    letter, size = next(((letter, size) for letter, size in _UNITS.items() if whole >= 2 * size), ("s", 1))
    return f"{whole // size}{letter}"
