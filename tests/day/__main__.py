"""``python -m tests.day CONTAINER INVENTORY URL --ca FILE --login NAME:PASSWORD``: run the steps and print a table.

Long unless ``--short``. ``--only WORD`` runs the steps with that word, ``--write`` writes the table to docs/results/day.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.day.steps import STEPS, Step
from tests.day.watch import Report, Server

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "day.json"


def live(server: Server, step: Step) -> Report:
    """One step: do it, record the reports, undo it, and wait until the server answers."""
    report = Report(step.name)
    server.listen()
    since = server.run("date '+%F %T'").stdout.strip()
    wrong = [step.do(server)]
    # A playbook rewrites the settings.
    server.listen()
    report.client, report.client_seconds = server.ask()
    report.status = server.status()
    server.check()
    if step.undo:
        wrong.append(step.undo(server))
    report.back, report.back_seconds = server.wait()
    server.listen()
    server.check()
    report.notified = server.notified(since)
    report.problems = [problem for problem in wrong if problem]
    if not report.back:
        report.problems.append("it did not recover")
    if step.notifies and report.notified == "nobody":
        report.problems.append("nobody was notified")
    if report.status == "traceback":
        report.problems.append("mlflowctl status ended in a traceback")
    return report


def table(day: list[Report]) -> str:
    """A Markdown table with a line for each step."""
    lines = ["| step | client | after s | `mlflowctl status` | notified | back after s |", "|---|---|---|---|---|---|"]
    for report in day:
        lines.append(
            f"| {report.step} | {report.client} | {report.client_seconds:.1f} | {report.status[:160]} | {report.notified[:160]} "
            f"| {report.back_seconds:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns the number of failed steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("container")
    parser.add_argument("inventory")
    parser.add_argument("url")
    parser.add_argument("--ca", required=True)
    parser.add_argument("--login", required=True)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    name, _, password = given.login.partition(":")
    server = Server(given.container, given.inventory, given.url, given.ca, (name, password))
    day = []
    try:
        for step in STEPS:
            if (step.long and given.short) or given.only not in step.name:
                continue
            day.append(live(server, step))
            print(f"{step.name}: {'; '.join(day[-1].problems) or 'as it should be'}", file=sys.stderr, flush=True)
    finally:
        server.leave()
    print(table(day))
    if given.write:
        RESULTS.write_text(json.dumps([asdict(report) for report in day], indent=1) + "\n")
    return sum(bool(report.problems) for report in day)


if __name__ == "__main__":
    sys.exit(main())
