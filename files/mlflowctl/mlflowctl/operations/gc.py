"""Remove for good what users have deleted: `mlflow gc`, with an age, a rehearsal, and under the lock.

MLflow only marks runs, experiments and models as deleted. `mlflow gc` then
deletes files first and rows second, and does not ask whether somebody else still needs
the files. This asks, leaves alone what others need, and removes the rest.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mlflowctl.core import beneath, descent, lock, service, state
from mlflowctl.core.ages import parse_age
from mlflowctl.core.config import Config
from mlflowctl.core.process import run as run_program
from mlflowctl.operations import overlaps, removals
from mlflowctl.recovery import preflight
from mlflowctl.recovery.backup import Say
from mlflowctl.stores.database import postgresql, references

# How many of what stays the facts name.
NAMED = 20


def run(config: Config, older_than: str, dry_run: bool, say: Say) -> dict[str, Any]:
    """Remove what was deleted longer ago than an age, or only say what that would be.

    Returns:
        How many of each kind, which (as :mod:`mlflowctl.operations.removals` names them), bytes, and what was left
        alone because others need its files.

    Raises:
        Busy: another transaction runs.
        ControlError: it cannot run.
    """
    before = int((time.time() - parse_age(older_than, "--older-than")) * 1000)
    with lock.exclusive(config.state_path, "gc"):
        preflight.check_volume(config)
        resolver = references.Resolver(config.store, {}, {}, {})
        with postgresql.snapshot(config) as (connection, _):
            found = overlaps.deleted(connection, resolver, before)
            others = overlaps.others(connection, resolver, found)
            stays = overlaps.left_alone(found, others, references.strong(connection, config.store))
            going = [one for one in found if one not in stays]
            experiments = overlaps.experiments(connection, going)
            told = removals.facts(connection, going, experiments)
        names = {kind: [one.name for one in going if one.kind == kind] for kind in ("run", "logged_model")} | {
            "experiment": experiments
        }
        words = [
            f"{one} stays: {owner} needs its files. Delete that, too, or restore this" for one, owner in stays.items()
        ]
        facts: dict[str, Any] = {
            "dry_run": dry_run,
            **told,
            "bytes": sum(_size(config, path) for path in {one.path for one in going if one.path}),
            "left_alone": words[:NAMED],
            "left_alone_count": len(words),
        }
        for line in words:
            say(line)
        if dry_run:
            return facts
        say(
            f"removing {facts['runs']} runs, {facts['logged_models']} models and {facts['experiments']} experiments "
            f"with {facts['traces']} traces, {facts['bytes']} bytes"
        )
        try:
            _gc(config, older_than, names)
        except BaseException as error:
            state.record(config, "gc", False, error=str(error) or type(error).__name__)
            raise
        # The state file is for numbers: which they were is in the answer, and in the unit's journal only by count.
        state.record(config, "gc", True, **{name: fact for name, fact in facts.items() if name != "removes"})
    return facts


def _size(config: Config, path: str) -> int:
    """Bytes below a directory of the store, which need not exist, nor be one."""
    try:
        return sum(size for _, size in beneath.walk(config.volume_path, f"{config.store.name}/{path}"))
    except (OSError, descent.InTheWay):
        return 0


def _gc(config: Config, older_than: str, names: dict[str, list[str]]) -> None:
    """Let MLflow remove these, of what it finds itself to be old enough."""
    interpreter = config.root_path / "current" / "bin" / "python"
    run_program(
        [str(interpreter), "-m", "mlflow_host.artifacts.gc", "--older-than", older_than],
        service.environment(config),
        said=json.dumps(names),
        cwd=str(Path("/")),
        **service.user(config),
    )
