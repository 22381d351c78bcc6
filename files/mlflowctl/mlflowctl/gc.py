"""Remove for good what users have deleted: `mlflow gc`, with an age, a rehearsal, and under the lock.

MLflow only marks runs, experiments and models as deleted. `mlflow gc` then
deletes files first and rows second, and does not ask whether a registered
model still needs the files. This asks.
"""

from __future__ import annotations

import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import psycopg

from mlflowctl import beneath, database, descent, lock, preflight, references, service, state
from mlflowctl.ages import parse_age
from mlflowctl.backup import Say
from mlflowctl.config import Config
from mlflowctl.errors import ProblemFound
from mlflowctl.printable import printable
from mlflowctl.process import run as run_program


def doomed(connection: psycopg.Connection[Any], before_ms: int) -> list[tuple[str, str, str]]:
    """Kind, ID and artifact URI of everything that was deleted before a time (milliseconds since 1970)."""
    return connection.execute(
        "SELECT 'run', run_uuid, artifact_uri FROM runs WHERE lifecycle_stage = 'deleted' AND deleted_time < %(before)s"
        " UNION ALL SELECT 'logged_model', model_id, artifact_location FROM logged_models"
        " WHERE lifecycle_stage = 'deleted' AND last_updated_timestamp_ms < %(before)s ORDER BY 1, 2",
        {"before": before_ms},
    ).fetchall()


def run(config: Config, older_than: str, dry_run: bool, say: Say) -> dict[str, Any]:
    """Remove what was deleted longer ago than an age, or only say what that would be.

    Returns:
        How many runs and models, and bytes.

    Raises:
        Busy: another transaction runs.
        ProblemFound: a registered model relies on files that would go.
        ControlError: it cannot run.
    """
    before = int((time.time() - parse_age(older_than, "--older-than")) * 1000)
    with lock.exclusive(config.state_path, "gc"):
        preflight.check_volume(config)
        with database.snapshot(config) as (connection, _):
            found = doomed(connection, before)
            needed = list(references.strong(connection, config.store))
            resolver = references.Resolver(config.store, {}, {}, {})
            paths = {path: name for _, name, uri in found if (path := resolver.path(uri))}
        _refuse_needed(paths, needed)
        facts: dict[str, Any] = {
            "runs": sum(kind == "run" for kind, _, _ in found),
            "logged_models": sum(kind == "logged_model" for kind, _, _ in found),
            "bytes": sum(_size(config, path) for path in paths),
            "dry_run": dry_run,
        }
        if dry_run:
            return facts
        say(f"removing {facts['runs']} runs and {facts['logged_models']} models, {facts['bytes']} bytes")
        try:
            _gc(config, older_than)
        except BaseException as error:
            state.record(config, "gc", False, error=str(error) or type(error).__name__)
            raise
        state.record(config, "gc", True, **facts)
    return facts


def _size(config: Config, path: str) -> int:
    """Bytes below a directory of the store, which need not exist, nor be one."""
    try:
        return sum(size for _, size in beneath.walk(config.volume_path, f"{config.store.name}/{path}"))
    except (OSError, descent.InTheWay):
        return 0


def _refuse_needed(paths: dict[str, str], needed: list[references.Reference]) -> None:
    """Refuse if a model that lives relies on what would go. What is broken already relies on nothing.

    Raises:
        ProblemFound: names the first model and what it relies on.
    """
    relies = [
        (reference, paths[above])
        for reference in needed
        if reference.present
        for above in accumulate(reference.path.split("/"), "{}/{}".format)
        if above in paths
    ]
    if relies:
        reference, name = relies[0]
        raise ProblemFound(
            f"{len(relies)} models rely on files that would go; "
            f"first: {reference.kind} {printable(reference.name)} needs {name}. "
            "Delete the model too, or bring the run back with `mlflow runs restore`. Nothing was removed"
        )


def _gc(config: Config, older_than: str) -> None:
    interpreter = config.root_path / "current" / "bin" / "python"
    run_program(
        [str(interpreter), "-m", "mlflow_host.gc", "--older-than", older_than],
        service.environment(config),
        cwd=str(Path("/")),
        **service.user(config),
    )
