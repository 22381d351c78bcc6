"""Stages: programs whose output goes to `.results/`, and which print one line."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.runner.scenarios import ROOT

RESULTS = ROOT / ".results"
# Output of a failed stage: number of lines, and their length.
SAID_LINES, SAID_WIDTH = 60, 400


@dataclass(frozen=True)
class Stage:
    """A program, and further variables of its environment."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)


class Log:
    """Prints a line for each stage, from any thread, and counts those that failed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.failed: list[str] = []

    def say(self, text: str) -> None:
        """Print at once."""
        with self._lock:
            print(text, flush=True)

    def broke(self, name: str, why: str) -> None:
        """A stage that could not begin."""
        self.failed.append(name)
        self.say(f"== {name:<24} FAILED  {why}")

    def run(self, stage: Stage) -> bool:
        """Run a stage; returns whether it succeeded."""
        begun = time.monotonic()
        file = RESULTS / f"{stage.name}.log"
        with file.open("wb") as output:
            done = subprocess.run(
                [str(word) for word in stage.command],
                cwd=ROOT,
                env={**os.environ, **stage.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        line = (
            f"== {stage.name:<24} {'ok    ' if done.returncode == 0 else 'FAILED'}  {time.monotonic() - begun:4.0f} s"
        )
        if done.returncode == 0:
            self.say(line)
            return True
        self.failed.append(stage.name)
        lines = file.read_text(errors="replace").splitlines()[-SAID_LINES:]
        end = "\n".join(text[:SAID_WIDTH] for text in lines)
        self.say(f"{line}, the end of .results/{stage.name}.log:\n{end}")
        return False
