"""The host with the variables of ``switches`` changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.changes.at_once.switches import switch

_switched: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def switched(host: Any) -> None:
    """By the first file that needs it."""
    if not _switched:
        switch(host)
        _switched.append("done")
