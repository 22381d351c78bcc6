"""Look at many things at once: each look has some seconds, and none that fails or hangs keeps another one out."""

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
    """What a person should look at.

    Attributes:
        subject: the unit, or another short name; the same thing has the same one each time.
        problem: one sentence.
        causes: subjects that explain this one, when they have a problem, too.
        passing: it is between two states, so it is neither a new failure nor the end of one.
    """

    subject: str
    problem: str
    causes: tuple[str, ...] = ()
    passing: bool = False


@dataclass(frozen=True)
class Look:
    """One question, and what it is about if it cannot be answered."""

    subject: str
    ask: Callable[[], Sequence[Finding]]
    causes: tuple[str, ...] = ()


def sentence(error: BaseException) -> str:
    """An error in one line."""
    words = printable(" ".join(str(error).split()))
    return words if isinstance(error, ControlError) else f"{type(error).__name__}: {words}"


def run(looks: Sequence[Look], seconds: float = SECONDS) -> list[Finding]:
    """What all of them find, in their order; a look that fails or hangs is a finding itself."""
    found: dict[int, Sequence[Finding]] = {}

    def one(number: int, look: Look) -> None:
        try:
            found[number] = look.ask()
        except Exception as error:
            found[number] = [Finding(look.subject, f"{look.subject}: {sentence(error)}", look.causes)]

    # A disk that is gone may hold a thread for ever: nobody waits for it, nor does the end of the program.
    threads = [Thread(target=one, args=(number, look), daemon=True) for number, look in enumerate(looks)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    silent = {
        number: [Finding(look.subject, f"{look.subject} did not answer within {seconds:g} s", look.causes)]
        for number, look in enumerate(looks)
    }
    known = silent | dict(found)
    return [finding for number in range(len(looks)) for finding in known[number]]
