"""Tell of every change once: when something fails, and when it is over. A timer runs it each minute.

systemd's ``OnFailure=`` says the same at every attempt, and nothing of a unit
that is started again and again, or that hangs. So what was told is kept, for
each way of telling, and compared with what there is to tell now.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from mlflowctl.core import state
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.core.looks import Finding
from mlflowctl.operations import health, notify, status
from mlflowctl.recovery.backup import Say

# What is over within this is no outage: a restart, a worker that was replaced.
SECOND_LOOK_SECONDS = 10
# By way of telling: the subjects that it was told of, with the words.
Heard = dict[str, dict[str, str]]


@contextmanager
def told(config: Config) -> Iterator[Heard]:
    """What was told, to be changed in place; written at the end, also after an error."""
    kept, spare = config.state_path / "told.json", Path(f"/run/{config.unit}-told.json")
    with _locked(config):
        heard: Heard = {}
        for path in (spare, kept):
            try:
                heard = json.loads(path.read_text())
                break
            except (OSError, ValueError):
                continue
        try:
            yield heard
        finally:
            text = json.dumps(heard, indent=1)
            try:
                state.write(kept, text, 0o600)
                spare.unlink(missing_ok=True)
            except OSError:
                # The disk of the state is what is wrong, perhaps.
                state.write(spare, text, 0o600)


@contextmanager
def _locked(config: Config) -> Iterator[None]:
    descriptor = os.open(f"/run/{config.unit}-told.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def settled(first: Sequence[Finding], second: Sequence[Finding]) -> tuple[dict[str, Finding], set[str]]:
    """What both looks have found, by subject, and the subjects of which nothing can be said now.

    A problem that another one explains is not told of: it goes with its cause, or is told of once that is over.
    """
    now = {finding.subject: finding for finding in second if not finding.passing}
    before = {finding.subject for finding in first if not finding.passing}
    passing = {finding.subject for finding in [*first, *second] if finding.passing}
    unsure = passing | (now.keys() ^ before)
    bad = {name for name in now if name in before}
    explained = {name for name in bad if {*now[name].causes} & (bad | unsure)}
    return {name: now[name] for name in bad - explained - passing}, unsure | explained


def changes(problems: dict[str, Finding], unsure: set[str], heard: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """What is new to somebody, with its words, and what is over."""
    new = {name: finding.problem for name, finding in problems.items() if name not in heard}
    return new, [name for name in heard if name not in problems and name not in unsure]


def run(config: Config, say: Say) -> None:
    """Look, look again if anything has changed, and tell.

    Raises:
        ControlError: a way of telling does not work; it is tried again the next time.
    """
    recorded = state.read(config)
    first = status.find(config, recorded)
    ways = notify.ways(config)
    with told(config) as heard:
        known = {name for way in ways for name in heard.get(way, {})}
        second = first
        if {finding.subject for finding in first if not finding.passing} != known:
            time.sleep(SECOND_LOOK_SECONDS)
            second = status.find(config, state.read(config))
        metrics(config, second)
        problems, unsure = settled(first, second)
        failed = []
        for way in ways:
            mine = heard.setdefault(way, {})
            new, over = changes(problems, unsure, mine)
            for name, words in new.items():
                failed += _tell(config, way, mine, notify.Message(name, words), say)
            for name in over:
                failed += _tell(config, way, mine, notify.Message(name, f"is over: {mine[name]}", over=True), say)
    if failed:
        raise ControlError(f"nobody may have heard: {'; '.join(failed)}")


def _tell(config: Config, way: str, heard: dict[str, str], message: notify.Message, say: Say) -> list[str]:
    try:
        notify.send(config, way, message, say)
    except Exception as error:
        return [f"{way}: {error}"]
    if message.over:
        del heard[message.unit]
    else:
        heard[message.unit] = message.words
    return []


def failed(config: Config, unit: str, say: Say) -> None:
    """A unit has failed, says systemd: tell it now, unless it was told.

    Raises:
        ControlError: a way of telling does not work.
    """
    name = unit if unit.endswith(".service") else f"{unit}.service"
    operation = name.removeprefix(f"{config.unit}-").removesuffix(".service").replace("-", "_")
    entry: dict[str, Any] = state.read(config).get(operation, {})
    words = str(entry.get("failure", {}).get("error", "see its journal"))
    problems = []
    with told(config) as heard:
        for way in notify.ways(config):
            if name not in heard.setdefault(way, {}):
                problems += _tell(config, way, heard[way], notify.Message(name, words), say)
    if problems:
        raise ControlError(f"nobody may have heard that {unit} failed: {'; '.join(problems)}")


def acknowledge(config: Config, name: str) -> None:
    """Somebody knows: nothing more is told of a failure, not even that it is over."""
    with told(config) as heard:
        for mine in heard.values():
            mine.pop(name, None)


def metrics(config: Config, found: Sequence[Finding]) -> None:
    """Whether it serves, for Prometheus, beside the metrics of recovery points."""
    down = {finding.subject for finding in found if not finding.passing}
    registry = CollectorRegistry()
    serving = Gauge("mlflow_part_up", "Whether a part of the server works", ["part"], registry=registry)
    parts = (health.DATABASE, health.VOLUME, health.READY, health.PUBLIC, *health.parts(config), "nginx.service")
    for part in parts:
        serving.labels(part).set(part not in down)
    Gauge("mlflow_up", "Whether the server serves", registry=registry).set(not down & {*parts})
    Gauge("mlflow_problems", "Problems that mlflowctl status names", registry=registry).set(len(down))
    Gauge("mlflow_watch_timestamp_seconds", "When it was looked at last", registry=registry).set_to_current_time()
    target = config.state_path / "metrics" / "mlflow-up.prom"
    try:
        write_to_textfile(str(target), registry)
        target.chmod(0o644)
    except OSError:
        return  # full, or away: that is among the problems
