"""The problems of a host: first those of the running server, then recovery points, timers, certificates."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflowctl import __version__, stores
from mlflowctl.access import certificates, declared
from mlflowctl.core import checks
from mlflowctl.core.checks import Check, Finding
from mlflowctl.core.config import Config, Instance
from mlflowctl.operations import health
from mlflowctl.upgrade import patches


def find(config: Config, recorded: dict[str, Any]) -> list[Finding]:
    """All problems, the most important first. Never raises."""
    rest = [
        Check("recovery-points", lambda: overdue(config, recorded)),
        Check("timers", lambda: _stopped_timers(config.timers)),
        Check("operations", lambda: _failed(services(config), recorded, config)),
        Check("wal-archive", lambda: _archive(config), (health.DATABASE,)),
    ]
    if declared.settings().exists():
        rest.append(Check("logins", lambda: _stopped_timers(declared.load().timers)))
        rest.append(Check("certificates", lambda: _certificates(declared.load())))
    return checks.run([*health.checks(config), *rest])


def facts(config: Config, recorded: dict[str, Any]) -> dict[str, Any]:
    """Problems and warnings as sentences, free space in bytes, and the last result of each operation."""
    warned = checks.run([Check("warnings", lambda: _warnings(config, recorded))])
    return {
        "problems": [finding.problem for finding in find(config, recorded) if finding.problem],
        "warnings": [finding.problem for finding in warned],
        "free_bytes": health.free_space(config),
        "patches_off": patches.disabled(config.instance),
        "version": __version__,
        **recorded,
    }


def services(config: Config) -> list[str]:
    """The oneshot units, started by timers or by an operator, whose failures are reported."""
    started = [timer.replace(".timer", ".service") for timer in config.timers]
    if declared.settings().exists():
        started += [timer.replace(".timer", ".service") for timer in declared.load().timers]
    return [*started, f"{config.instance.unit}-restore.service", f"{config.instance.unit}-db-init.service"]


def subject(instance: Instance, operation: str) -> str:
    """The unit of an operation in the state file."""
    return f"{instance.unit}-{operation.replace('_', '-')}.service"


def overdue(config: Config, recorded: dict[str, Any]) -> list[Finding]:
    """Problems in the state file: too old, failed, never run."""
    found = []
    now = time.time()
    last = recorded.get("backup", {}).get("success")
    if last is None:
        found.append(Finding("recovery-points", "no recovery point was ever taken on this host: run mlflowctl backup"))
    elif now - last["time"] > config.recovery.stale_hours * 3600:
        old = f"{(now - last['time']) / 3600:.0f} h old (limit {config.recovery.stale_hours:g} h)"
        found.append(Finding("recovery-points", f"the last recovery point is {old}"))
    for operation, entry in recorded.items():
        failure = entry.get("failure", {})
        if not entry.get("ok", True) and "acknowledged" not in failure:
            problem = f"the last {operation} failed at {failure.get('at')}: {failure.get('error')}"
            found.append(Finding(subject(config.instance, operation), problem))
    if stores.database.of(config).archive and "base_backup" not in recorded:
        problem = "no base backup was ever taken, so nothing can be replayed: run mlflowctl base-backup"
        found.append(Finding("base-backups", problem))
    return found


def _stopped_timers(timers: list[str]) -> list[Finding]:
    """Timers that are not running: nothing fails then, and nothing happens."""
    states = health.states(timers) if timers else {}
    return [
        Finding(timer, f"{timer} is not running: systemctl start {timer}")
        for timer in timers
        if states.get(timer, {}).get("ActiveState") != "active"
    ]


def _failed(units: list[str], recorded: dict[str, Any], config: Config) -> list[Finding]:
    """Units that failed without an entry in the state file, as when systemd killed them; running ones are transient."""
    known = {finding.subject for finding in overdue(config, recorded)}
    found = []
    for name, state in health.states(units).items():
        if state.get("ActiveState") == "failed" and name not in known:
            found.append(Finding(name, f"{name} failed: journalctl -u {name}"))
        elif state.get("ActiveState") == "activating":
            found.append(Finding(name, "", transient=True))
    return found


def _archive(config: Config) -> list[Finding]:
    archive = stores.database.of(config).archive
    problem = archive.problem() if archive else ""
    return [Finding("wal-archive", problem, (health.DATABASE,))] if problem else []


def _certificates(proxy: declared.Access) -> list[Finding]:
    name = next(
        (timer.replace(".timer", ".service") for timer in proxy.timers if "certificates" in timer), "certificates"
    )
    return [Finding(name, problem) for problem in certificates.problems(proxy, datetime.now(UTC))]


def _warnings(config: Config, recorded: dict[str, Any]) -> list[Finding]:
    """Risky settings, and what was broken before the last recovery point was taken."""
    found = []
    last = recorded.get("backup", {}).get("success", {})
    if broken := last.get("broken_at_source"):
        first = next(iter(last.get("broken", [])), "see mlflowctl verify")
        found.append(f"{broken} references were broken at source in the last recovery point, first: {first}")
    for repository in config.recovery.repositories:
        path = Path(repository.location)
        if path.is_absolute() and stores.artifacts.of(config).shares_disk(path):
            found.append(
                f"repository {repository.name} is on the same disk as the artifacts: add one that is elsewhere"
            )
    if all(repository.location.startswith("/") for repository in config.recovery.repositories):
        found.append("every repository is on this host and would be lost with it")
    return [Finding("warnings", words) for words in found]
