"""Is anything lost? Of the live data, of a point, of the repositories."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflowctl import (
    access,
    archive,
    backup,
    certificates,
    database,
    described,
    lock,
    preflight,
    references,
    state,
    trees,
)
from mlflowctl.checker import Files, Report, compare
from mlflowctl.config import Config
from mlflowctl.process import run as run_program
from mlflowctl.repository import Restic

DAYS = 7


def run(config: Config, wanted: str | None, repository: str | None) -> Report:
    """Check the live data, or a point without restoring its artifacts.

    Raises:
        ControlError: it cannot be read.
    """
    if wanted is None:
        preflight.check_volume(config)
        with database.snapshot(config) as (connection, _):
            found = list(references.strong(connection, config.store))
        return compare(found, Files(trees.walk(config.store)))
    restic = Restic(config.repository(repository))
    point = restic.find(wanted)
    with TemporaryDirectory(dir=config.state_path) as folder:
        manifest, facts = (f"{config.stage}/{name}" for name in (backup.MANIFEST, backup.FACTS))
        restic.restore(point.snapshot, Path(folder), include=[manifest, facts])
        said = described.read(Path(folder), config.stage, backup.FACTS)
        listed = backup.listing(Path(said["store"]), restic, point.snapshot)
        return compare(references.read(Path(folder + manifest)), listed)


def check_repositories(config: Config, full: bool, say: backup.Say) -> dict[str, Any]:
    """Check the structure of every repository, and read a seventh of its data, another one each day.

    Raises:
        Busy: another transaction runs.
        ControlError: damage; says where.
    """
    started = time.monotonic()
    subset = "100%" if full else f"{datetime.now(UTC).toordinal() % DAYS + 1}/{DAYS}"
    with lock.exclusive(config.state_path, "check"):
        try:
            for repository in map(Restic, config.repositories):
                say(f"checking repository {repository.name}, reading {subset} of its data")
                repository.unlock()
                repository.check(subset)
        except BaseException as error:
            state.record(config, "check", False, error=str(error) or type(error).__name__)
            raise
        facts = {"seconds": round(time.monotonic() - started, 3), "subset": subset}
        state.record(config, "check", True, **facts)
    return facts


def status(config: Config, recorded: dict[str, Any]) -> dict[str, Any]:
    """The last result of each operation, and what a person should look at."""
    problems = []
    now = time.time()
    last = recorded.get("backup", {}).get("success")
    if last is None:
        problems.append("no recovery point was ever taken on this host: run mlflowctl backup")
    elif now - last["time"] > config.stale_hours * 3600:
        problems.append(
            f"the last recovery point is {(now - last['time']) / 3600:.0f} h old (limit {config.stale_hours:g} h)"
        )
    for operation, entry in recorded.items():
        if not entry["ok"]:
            problems.append(f"the last {operation} failed at {entry['failure']['at']}: {entry['failure'].get('error')}")
    if config.wal_archive and "base_backup" not in recorded:
        problems.append("no base backup was ever taken, so nothing can be replayed: run mlflowctl base-backup")
    if config.full_file.exists():
        problems.append(
            "uploads are refused: the artifact volume has less free than mlflow_volume_reserve_mb."
            " Make room, as by mlflowctl gc"
        )
    problems += _silent(config.timers)
    if problem := archive.problem(config):
        problems.append(problem)
    if access.settings().exists():
        proxy = access.load()
        problems += certificates.problems(proxy, datetime.now(UTC)) + _silent(proxy.timers) + _failed(proxy.timers)
    return {"problems": problems, "warnings": _warnings(config, last or {}), **recorded}


def _silent(timers: list[str]) -> list[str]:
    """Timers that do not run: nothing fails, and nothing happens."""
    if not timers:
        return []
    states = run_program(["systemctl", "is-active", *timers], accept=(0, 3, 4)).stdout.split()
    return [
        f"{timer} does not run: systemctl start {timer}"
        for timer, found in zip(timers, states, strict=True)
        if found != "active"
    ]


def _failed(timers: list[str]) -> list[str]:
    """What timers started last and failed, without a record of its own."""
    services = [timer.replace(".timer", ".service") for timer in timers]
    states = run_program(["systemctl", "is-failed", *services], accept=(0, 1, 3, 4)).stdout.split()
    return [
        f"{service} failed: journalctl -u {service}"
        for service, found in zip(services, states, strict=True)
        if found == "failed"
    ]


def _warnings(config: Config, last: dict[str, Any]) -> list[str]:
    """What is legal and unwise, and what was broken before the last recovery point was taken."""
    found = []
    if broken := last.get("broken_at_source"):
        first = next(iter(last.get("broken", [])), "see mlflowctl verify")
        found.append(f"{broken} references were broken at source in the last recovery point, first: {first}")
    for repository in config.repositories:
        path = Path(repository.location)
        if path.is_absolute() and path.exists() and path.stat().st_dev == config.volume_path.stat().st_dev:
            found.append(f"repository {repository.name} is on the disk that it is to save: add one that is elsewhere")
    if all(repository.location.startswith("/") for repository in config.repositories):
        found.append("every repository is on this host and dies with it")
    return found
