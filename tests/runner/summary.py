"""Adds up the JUnit files of a test run, and repeats the failures."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

RESULTS = Path(".results")
# Lines of a failed test's output: the last ones have the assertion.
SAID_LINES = 25


def totals() -> tuple[int, int, list[str]]:
    """Numbers of passed and failed tests, and the failures, over all stages with tests."""
    passed = failed = 0
    message = []
    for path in sorted(RESULTS.glob("*.xml")):
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            failed += bad
            passed += int(suite.get("tests", 0)) - bad - skipped
            message += [failure(path.stem, case) for case in suite.iter("testcase")]
    return passed, failed, [text for text in message if text]


def failure(stage: str, case: ElementTree.Element) -> str:
    """The end of a failed test's output; nothing for one that passed."""
    for kind in ("failure", "error"):
        if (found := case.find(kind)) is not None:
            lines = (found.text or "").splitlines()[-SAID_LINES:]
            return "\n".join([f"-- {stage}: {case.get('classname')}::{case.get('name')}", *lines])
    return ""


def summary(stages: int) -> int:
    """Print failures and the closing line; returns 1 if a test or a stage failed, else 0.

    Args:
        stages: how many of them failed.
    """
    passed, failed, message = totals()
    # A stage that failed before its tests ran counts as a failure.
    failed = max(failed, stages)
    print(*message, f"{passed} passed, {failed} failed", sep="\n")
    return 1 if failed else 0
