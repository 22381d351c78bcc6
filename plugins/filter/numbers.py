"""Comparisons of numbers for nginx, which only has regular expressions."""

from __future__ import annotations

from collections.abc import Callable


def larger_than(number: int) -> str:
    """A regular expression for the decimal numbers above ``number``, leading zeros included.

    Args:
        number: not negative.
    """
    digits = str(int(number))
    # Of the same length: equal up to one digit, which is greater.
    greater = [
        f"{digits[:place]}[{int(digit) + 1}-9][0-9]{{{len(digits) - place - 1}}}"
        for place, digit in enumerate(digits)
        if digit != "9"
    ]
    return "0*(?:" + "|".join([*greater, f"[1-9][0-9]{{{len(digits)},}}"]) + ")"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"larger_than": larger_than}
