"""Run many checks at once: each has some seconds, and one that fails or hangs does not keep the others from running."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread

from mlflowctl.core.errors import ControlError
from mlflowctl.core.printable import printable

SECONDS = 10


@dataclass(frozen=True)
class Finding:
    """A problem that an operator should know about.

    Attributes:
        subject: the unit, or another short name; constant for the same problem.
        problem: one sentence.
        causes: subjects that explain this one if they have a problem, too.
        transient: the subject is starting or stopping: neither a new failure nor the end of one.
    """

    subject: str
    problem: str
    causes: tuple[str, ...] = ()
    transient: bool = False


@dataclass(frozen=True)
class Check:
    """One check, and the subject of the finding if the check itself fails."""

    subject: str
    perform: Callable[[], Sequence[Finding]]
    causes: tuple[str, ...] = ()


def sentence(error: BaseException) -> str:
    """An error in one line."""
    words = printable(" ".join(str(error).split()))
    return words if isinstance(error, ControlError) else f"{type(error).__name__}: {words}"


def run(checks: Sequence[Check], seconds: float = SECONDS) -> list[Finding]:
    """The findings of all checks, in their order; a check that fails or hangs is a finding itself."""
    found: dict[int, Sequence[Finding]] = {}

    def run_one(number: int, check: Check) -> None:
        try:
            found[number] = check.perform()
        except Exception as error:
            found[number] = [Finding(check.subject, f"{check.subject}: {sentence(error)}", check.causes)]

    # A missing disk may block a thread forever: neither the others nor the end of the program wait for it.
    threads = [Thread(target=run_one, args=(number, check), daemon=True) for number, check in enumerate(checks)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    unanswered = {
        number: [Finding(check.subject, f"{check.subject} did not answer within {seconds:g} s", check.causes)]
        for number, check in enumerate(checks)
    }
    known = unanswered | dict(found)
    return [finding for number in range(len(checks)) for finding in known[number]]
