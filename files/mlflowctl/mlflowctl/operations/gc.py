"""Permanently remove what users have deleted: `mlflow gc` with a minimum age, a dry run, and under the lock.

MLflow only marks runs, experiments and models as deleted. `mlflow gc` then
deletes files first and rows second, without checking whether other rows still refer
to the files. This module checks that, keeps what is referred to, and removes the rest.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core import lock, service, state
from mlflowctl.core.ages import parse_age
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.process import run as run_program
from mlflowctl.core.progress import Log
from mlflowctl.operations import overlaps, removals
from mlflowctl.stores import references

# How many of the kept entries the result names.
NAMED = 20


def run(config: Config, older_than: str, dry_run: bool, log: Log) -> dict[str, Any]:
    """Remove what was deleted longer ago than an age, or only report what would be removed.

    Returns:
        How many of each kind, which (as :mod:`mlflowctl.operations.removals` names them), bytes, and what was kept
        because others need its files.

    Raises:
        Busy: another operation runs.
        ControlError: it cannot run.
    """
    before = int((time.time() - parse_age(older_than, "--older-than")) * 1000)
    with lock.exclusive(config.instance.state_path, "gc"):
        artifacts = stores.artifacts.of(config)
        artifacts.check()
        resolver = references.Resolver(artifacts.own_path, {}, {}, {})
        with stores.database.of(config).snapshot() as rows:
            found = overlaps.deleted(rows, resolver, before)
            others = overlaps.others(rows, resolver, found)
            kept = overlaps.needed_by_others(found, others, references.strong(rows, artifacts))
            removable = [one for one in found if one not in kept]
            experiments = overlaps.experiments(rows, removable)
            removed = removals.facts(rows, removable, experiments)
        names = {kind: [one.name for one in removable if one.kind == kind] for kind in ("run", "logged_model")} | {
            "experiment": experiments
        }
        reasons = [
            f"{one} is kept: {owner} needs its files. Delete that, too, or restore this" for one, owner in kept.items()
        ]
        facts: dict[str, Any] = {
            "dry_run": dry_run,
            **removed,
            "bytes": sum(artifacts.size(path) for path in {one.path for one in removable if one.path}),
            "left_alone": reasons[:NAMED],
            "left_alone_count": len(reasons),
        }
        for line in reasons:
            log(line)
        if dry_run:
            return facts
        log(
            f"removing {facts['runs']} runs, {facts['logged_models']} models and {facts['experiments']} experiments "
            f"with {facts['traces']} traces, {facts['bytes']} bytes"
        )
        try:
            _gc(config.instance, older_than, names)
        except BaseException as error:
            state.record(config.instance, "gc", False, error=str(error) or type(error).__name__)
            raise
        # The state file has numbers only: the answer names what was removed.
        state.record(config.instance, "gc", True, **{name: fact for name, fact in facts.items() if name != "removes"})
    return facts


def _gc(instance: Instance, older_than: str, names: dict[str, list[str]]) -> None:
    """Run `mlflow gc`, limited to these names."""
    interpreter = instance.root_path / "current" / "bin" / "python"
    run_program(
        [str(interpreter), "-m", "mlflow_host.artifacts.gc", "--older-than", older_than],
        service.environment(instance),
        stdin=json.dumps(names),
        cwd=str(Path("/")),
        **service.user(instance),
    )
