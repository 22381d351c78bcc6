"""Where this project's server answers otherwise than a stock one, and why; docs/differences.md shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Questions of ``ask.py`` (names, or patterns of names), what each server answers, and why that stays."""

    questions: tuple[str, ...]
    stock: str
    here: str
    why: str


DIFFERENCES: tuple[Difference, ...] = ()
