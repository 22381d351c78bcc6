"""Numbers as nginx compares them."""

from __future__ import annotations

import re

import pytest

from plugins.filter.numbers import larger_than


@pytest.mark.parametrize("limit", [0, 1, 9, 10, 99, 100, 4096, 1048576, 33554432, 199999, 909])
def test_exactly_the_larger_numbers_match(limit: int) -> None:
    """Also at the next power of ten, and with leading zeros."""
    pattern = re.compile(larger_than(limit))
    near = {
        0,
        1,
        limit - 1,
        limit,
        limit + 1,
        limit * 10 - 1,
        limit * 10,
        limit * 10 + 1,
        10 ** len(str(limit)),
        10**18,
    }
    for number in {n for n in near if n >= 0} | set(range(min(limit, 2000), min(limit, 2000) + 200)):
        for text in (str(number), f"000{number}"):
            assert bool(pattern.fullmatch(text)) == (number > limit), text
