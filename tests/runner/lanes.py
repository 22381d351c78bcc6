"""A queue of jobs over the processors, the longest first, by the times of an earlier run."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.runner.jobs import Job
from tests.runner.stages import Log

SECONDS = Path(__file__).parent / "seconds.json"
# A test spends part of its time waiting, so one lane more than processors keeps them busy.
LANES = int(os.environ.get("LANES", "0")) or (os.cpu_count() or 1) + 1
# How often an idle lane checks whether a job is ready.
POLL_SECONDS = 5.0


def recorded(file: Path = SECONDS) -> dict[str, int]:
    """Seconds of each job in the last recorded run."""
    found: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    return found


def longest_first(jobs: Sequence[Job], seconds: Mapping[str, int]) -> list[Job]:
    """A job without a recorded time comes first; one that others start from counts with the longest of those."""

    def rank(job: Job) -> float:
        own = seconds.get(job.name, float("inf"))
        return max([own, *(seconds.get(other.name, float("inf")) for other in jobs if other.after == job.name)])

    return sorted(jobs, key=rank, reverse=True)


class Lanes:
    """Runs jobs, so many at a time.

    Args:
        jobs: in the order in which they should begin.
        log: for their results.
        poll_seconds: how often an idle lane checks again.
    """

    def __init__(self, jobs: Sequence[Job], log: Log, poll_seconds: float = POLL_SECONDS) -> None:
        self.took: dict[str, int] = {}
        self._waiting = list(jobs)
        self._unfinished = {job.name for job in jobs}
        self._log = log
        self._changed = threading.Condition()
        self._poll_seconds = poll_seconds

    def _next(self) -> Job | None:
        """The first job that may begin; waits for one. None if no job is left."""
        with self._changed:
            while self._waiting:
                for job in self._waiting:
                    if job.after not in self._unfinished or job.ready():
                        self._waiting.remove(job)
                        return job
                self._changed.wait(self._poll_seconds)
            return None

    def _lane(self) -> None:
        while (job := self._next()) is not None:
            begun = time.monotonic()
            try:
                job.run(self._log)
            # The other jobs continue, and the run fails.
            except Exception as error:
                self._log.broke(job.name, repr(error))
            with self._changed:
                self.took[job.name] = round(time.monotonic() - begun)
                self._unfinished.discard(job.name)
                self._changed.notify_all()

    def run(self, lanes: int = LANES) -> None:
        """Run all of them."""
        threads = [threading.Thread(target=self._lane, daemon=True) for _ in range(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def record(took: dict[str, int], file: Path = SECONDS) -> None:
    """Record the times of the jobs, for the order of the next run."""
    file.write_text(json.dumps(recorded(file) | took, indent=2, sort_keys=True) + "\n")
