"""``python -m tests.runner WHAT``: see `tests/run`, which prepares the machine."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace

from tests.runner import changed, summary
from tests.runner.jobs import DEMO, ENGINE, FAST, LINT, Job, of_scenario, pytest
from tests.runner.lanes import Lanes, longest_first, record, recorded
from tests.runner.scenarios import ROOT, SUITES, Run, Scenario, scenarios
from tests.runner.stages import RESULTS, Log

SOAK = {"KILL_EVERY": "3", "SOAK_POINTS": "100", "ABUSE_SECONDS": "7200"}


def arguments(names: Sequence[str], words: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    Args:
        names: of the scenarios.
        words: the arguments; after the name of a scenario, options and paths in any order.
    """
    parser = argparse.ArgumentParser(prog="tests/run", description="Run tests; what they print is in .results/.")
    parser.add_argument(
        "--seconds", action="store_true", help="record the time of each job, for the order of later runs"
    )
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    what.add_parser("all", help="what `make test` runs")
    what.add_parser("soak", help="the long proofs, for hours")
    what.add_parser("fast", help="the tests without containers")
    what.add_parser("lint", help="the linters")
    some = what.add_parser("changed", help="only what a change of files concerns")
    some.add_argument("base", nargs="?", default="HEAD", help="the commit to compare with (HEAD)")
    some.add_argument("--list", action="store_true", help="list the tests, and run nothing")
    for name in names:
        scenario = what.add_parser(name, help=f"the scenario tests/scenarios/{name}")
        scenario.add_argument("suite", nargs="?", choices=SUITES, default=SUITES[0])
        scenario.add_argument("tests", nargs="*", help="paths below tests/ instead of those of its description")
        scenario.add_argument(
            "--brief", action="store_true", help="start from its image, without check mode and a second run"
        )
    words = [word.replace("--changed", "changed") for word in words]
    # argparse takes no path after an option that follows other paths. All options are without values.
    first = next((number for number, word in enumerate(words) if not word.startswith("-")), len(words))
    after = sorted(words[first + 1 :], key=lambda word: not word.startswith("-"))
    return parser.parse_args([*words[: first + 1], *after])


def in_test(known: dict[str, Scenario]) -> list[Job]:
    """The jobs of `make test`."""
    hosts = [of_scenario(scenario, run) for scenario in known.values() for run in scenario.test]
    return [*hosts, DEMO, ENGINE, LINT, FAST]


def in_soak(known: dict[str, Scenario]) -> list[Job]:
    """The jobs of `make soak`."""
    return [of_scenario(scenario, run) for scenario in known.values() for run in scenario.soak]


def concerned(base: str, known: dict[str, Scenario], log: Log) -> list[Job]:
    """The jobs that a change concerns; prints them."""
    files = changed.changed_files(base)
    units = changed.unit_tests(files)
    runs = changed.scenario_tests(files, known)
    log.say(f"{len(files)} files differ from {base}")
    for unit in units:
        log.say(f"   {unit}")
    for name, run in runs.items():
        log.say(f"   {name} {run.suite}: {' '.join(run.tests)}")
    fast = [replace(FAST, stages=(pytest("fast", units),))] if units else []
    return [*fast, *(of_scenario(known[name], run, keep=True) for name, run in runs.items())]


def main(given: Sequence[str] | None = None) -> int:
    """Run the jobs; returns the exit code."""
    known = scenarios()
    asked = arguments(list(known), sys.argv[1:] if given is None else given)
    log, lanes = Log(), None
    match asked.what:
        case "all":
            jobs = in_test(known)
        case "soak":
            for name, value in SOAK.items():
                os.environ.setdefault(name, value)
            # One at a time, because some jobs measure times.
            jobs, lanes = in_soak(known), 1
        case "fast":
            jobs = [FAST]
        case "lint":
            jobs = [LINT]
        case "changed":
            jobs = concerned(asked.base, known, log)
            if asked.list:
                return 0
        case name:
            run = next((run for run in known[name].test if run.suite == asked.suite), Run(asked.suite))
            run = (
                Run(asked.suite, tuple(asked.tests), brief=asked.brief)
                if asked.tests or asked.brief
                else replace(run, tests=(), without=(), brief=False)
            )
            jobs = [of_scenario(known[name], run, keep=True)]
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir()
    (ROOT / ".cache").mkdir(exist_ok=True)
    queue = Lanes(longest_first(jobs, recorded()), log)
    queue.run(*([lanes] if lanes else []))
    if asked.seconds:
        record(queue.took)
    return summary.summary(len(log.failed))


if __name__ == "__main__":
    sys.exit(main())
