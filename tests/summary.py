"""Add up the JUnit files of a test run: ``summary.py <failed stages>``."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

RESULTS = Path(".results")


def totals() -> tuple[int, int]:
    """Tests that passed and tests that did not, over all stages that ran tests."""
    passed = failed = 0
    for path in sorted(RESULTS.glob("*.xml")):
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            failed += bad
            passed += int(suite.get("tests", 0)) - bad - skipped
    return passed, failed


def main() -> int:
    """Print the closing line; exit 1 if a test or a stage failed."""
    stages = int(sys.argv[1])
    passed, failed = totals()
    # A stage that broke before its tests ran is a failure of its own.
    failed = max(failed, stages)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
