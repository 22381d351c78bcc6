"""Notify of every change once: when a problem begins, and when it is over. A timer runs it each minute.

systemd's ``OnFailure=`` reports every attempt, and nothing about a unit that is
restarted again and again, or that hangs. So what each notification channel has
reported is stored, and compared with the problems of now.
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
from mlflowctl.core.checks import Finding
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.errors import ControlError
from mlflowctl.core.progress import Log
from mlflowctl.operations import health, notify, status

# A problem that is over within this time is no outage: a restart, a replaced worker.
SECOND_CHECK_SECONDS = 10
# By channel: the subjects that it has reported, with the problem's text.
Reported = dict[str, dict[str, str]]


@contextmanager
def reported(instance: Instance) -> Iterator[Reported]:
    """The reported problems, which the caller changes in place; written at the end, also after an error."""
    main, fallback = instance.state_path / "notified.json", Path(f"/run/{instance.unit}-notified.json")
    with _locked(instance):
        stored: Reported = {}
        for path in (fallback, main):
            try:
                stored = json.loads(path.read_text())
                break
            except (OSError, ValueError):
                continue
        try:
            yield stored
        finally:
            text = json.dumps(stored, indent=1)
            try:
                state.write(main, text, 0o600)
                fallback.unlink(missing_ok=True)
            except OSError:
                # The disk of the state may be the problem.
                state.write(fallback, text, 0o600)


@contextmanager
def _locked(instance: Instance) -> Iterator[None]:
    descriptor = os.open(f"/run/{instance.unit}-notified.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def confirmed(first: Sequence[Finding], second: Sequence[Finding]) -> tuple[dict[str, Finding], set[str]]:
    """The problems that both checks have found, by subject, and the subjects whose state is uncertain.

    A problem that another one explains is not reported: it ends with its cause, or is reported once that is over.
    """
    now = {finding.subject: finding for finding in second if not finding.transient}
    before = {finding.subject for finding in first if not finding.transient}
    transient = {finding.subject for finding in [*first, *second] if finding.transient}
    uncertain = transient | (now.keys() ^ before)
    bad = {name for name in now if name in before}
    explained = {name for name in bad if {*now[name].causes} & (bad | uncertain)}
    return {name: now[name] for name in bad - explained - transient}, uncertain | explained


def changes(
    problems: dict[str, Finding], uncertain: set[str], already: dict[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The problems that a channel has not reported yet, with their text, and the reported ones that are over."""
    new = {name: finding.problem for name, finding in problems.items() if name not in already}
    return new, [name for name in already if name not in problems and name not in uncertain]


def run(config: Config, log: Log) -> None:
    """Check, check again if anything has changed, and notify.

    Raises:
        ControlError: a channel does not work; it is tried again the next time.
    """
    recorded = state.read(config.instance)
    first = status.find(config, recorded)
    channels = notify.channels(config.notify)
    with reported(config.instance) as stored:
        known = {name for channel in channels for name in stored.get(channel, {})}
        second = first
        if {finding.subject for finding in first if not finding.transient} != known:
            time.sleep(SECOND_CHECK_SECONDS)
            second = status.find(config, state.read(config.instance))
        metrics(config.instance, second)
        problems, uncertain = confirmed(first, second)
        errors = []
        for channel in channels:
            already = stored.setdefault(channel, {})
            new, over = changes(problems, uncertain, already)
            for name, text in new.items():
                errors += _send(config, channel, already, notify.Message(name, text), log)
            for name in over:
                message = notify.Message(name, f"is over: {already[name]}", over=True)
                errors += _send(config, channel, already, message, log)
    if errors:
        raise ControlError(f"a notification was not delivered: {'; '.join(errors)}")


def _send(config: Config, channel: str, already: dict[str, str], message: notify.Message, log: Log) -> list[str]:
    try:
        notify.send(config.notify, channel, message, log)
    except Exception as error:
        return [f"{channel}: {error}"]
    if message.over:
        del already[message.unit]
    else:
        already[message.unit] = message.text
    return []


def failed(config: Config, unit: str, log: Log) -> None:
    """Notify that a unit has failed, unless that was reported.

    Raises:
        ControlError: a channel does not work.
    """
    name = unit if unit.endswith(".service") else f"{unit}.service"
    operation = name.removeprefix(f"{config.instance.unit}-").removesuffix(".service").replace("-", "_")
    entry: dict[str, Any] = state.read(config.instance).get(operation, {})
    text = str(entry.get("failure", {}).get("error", "see its journal"))
    errors = []
    with reported(config.instance) as stored:
        for channel in notify.channels(config.notify):
            if name not in stored.setdefault(channel, {}):
                errors += _send(config, channel, stored[channel], notify.Message(name, text), log)
    if errors:
        raise ControlError(f"a notification that {unit} failed was not delivered: {'; '.join(errors)}")


def acknowledge(instance: Instance, name: str) -> None:
    """Forget a reported failure: its end is not reported either."""
    with reported(instance) as stored:
        for already in stored.values():
            already.pop(name, None)


def metrics(instance: Instance, found: Sequence[Finding]) -> None:
    """Write for Prometheus whether the server serves, beside the metrics of recovery points."""
    down = {finding.subject for finding in found if not finding.transient}
    registry = CollectorRegistry()
    serving = Gauge("mlflow_part_up", "Whether a part of the server works", ["part"], registry=registry)
    parts = (
        health.DATABASE, health.VOLUME, health.READY, health.PUBLIC, *health.mlflow_services(instance), "nginx.service",
    )  # fmt: skip
    for part in parts:
        serving.labels(part).set(part not in down)
    Gauge("mlflow_up", "Whether the server serves", registry=registry).set(not down & {*parts})
    Gauge("mlflow_problems", "Problems that mlflowctl status names", registry=registry).set(len(down))
    Gauge("mlflow_watch_timestamp_seconds", "When it was last checked", registry=registry).set_to_current_time()
    target = instance.state_path / "metrics" / "mlflow-up.prom"
    try:
        write_to_textfile(str(target), registry)
        target.chmod(0o644)
    except OSError:
        return  # a full or missing disk is among the problems
