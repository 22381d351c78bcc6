"""One demo for all tests in this folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_make(target: str) -> str:
    """Run ``make <target>``; returns what it prints."""
    done = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="session", autouse=True)
def fresh() -> Iterator[None]:
    """No demo before the first test, none after the last."""
    run_make("demo-down")
    yield
    run_make("demo-down")


@pytest.fixture(scope="session")
def make() -> Callable[[str], str]:
    """Runs make."""
    return run_make
