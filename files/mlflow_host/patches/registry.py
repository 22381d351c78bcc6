"""All patches of MLflow, gunicorn and uvicorn: which fit the installed release, and which are applied.

A speed patch that does not fit is skipped, with one line in the journal; a safety patch prevents the start.
``python -m mlflow_host.patches.registry`` checks without serving: the playbook runs it before it switches to a
release, and so does ``mlflowctl upgrade-check``. It prints one JSON object, and exits 1 if the release may not serve.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mlflow_host.core import settings
from mlflow_host.core.known import SAFETY, SPEED, MisfitError, Patch
from mlflow_host.patches.security import confine, subjects
from mlflow_host.patches.speed import (
    answers,
    experiments,
    metrics,
    new_runs,
    no_login,
    ping,
    searches,
    sessions,
    values,
)

# In the order in which they are applied: subjects wraps a function that answers has replaced.
MODULES: tuple[ModuleType, ...] = (
    confine,
    experiments,
    answers,
    metrics,
    new_runs,
    no_login,
    ping,
    searches,
    sessions,
    subjects,
    values,
)
PATCHES: dict[str, Patch] = {module.PATCH.name: module.PATCH for module in MODULES}
# These are not applied here: gunicorn loads the workers, and an operation runs gc.
OTHERS: dict[str, Patch] = {
    patch.name: patch
    for patch in (
        Patch(
            name="settings",
            kind=SAFETY,
            why="passes database, store and keys to MLflow's code, which would use its defaults",
            test="tests/unit/mlflow_host/test_mlflow_host.py",
            needs=tuple(f"mlflow.server.constants:{name}" for name in settings.SERVER_CONSTANTS.values()),
            services=("rest", "asgi"),
        ),
        Patch(
            name="backend",
            kind=SAFETY,
            why="answers at once while the database is unavailable, where MLflow would block all threads for minutes",
            test="tests/host/test_unreachable.py",
            needs=(
                "mlflow.store.db.utils:MAX_RETRY_COUNT",
                "mlflow.store.db.utils:create_sqlalchemy_engine_with_retry",
            ),
            services=("rest", "asgi"),
        ),
        Patch(
            name="worker",
            kind=SAFETY,
            why="limits slow clients, and replaces workers without failing a request",
            test="tests/host/test_workers.py",
            needs=tuple(
                f"gunicorn.workers.gthread:ThreadWorker.{name}"
                for name in (
                    "run",
                    "enqueue_req",
                    "handle",
                    "handle_request",
                    "wait_for_and_dispatch_events",
                    "finish_request",
                    "on_client_socket_readable",
                )
            ),
        ),
        Patch(
            name="asgi_worker",
            kind=SAFETY,
            why="replaces workers without failing a request, and hides client addresses from MLflow's assistant",
            test="tests/host/test_workers.py",
            needs=(
                "uvicorn.server:Server.on_tick",
                "uvicorn.server:Server.shutdown",
                "uvicorn_worker:UvicornWorker.CONFIG_KWARGS",
                "uvicorn_worker:UvicornWorker._serve",
                "uvicorn_worker:UvicornWorker._install_sigquit_handler",
            ),
            services=("asgi",),
        ),
        Patch(
            name="gc",
            kind=SAFETY,
            why="removes files below the artifact store only",
            test="tests/scenarios/default/recovery/test_gc.py",
            needs=("mlflow.cli:gc", "mlflow.cli:get_artifact_repository"),
            services=(),
        ),
    )
}
SETTING = "MLFLOW_HOST_PATCHES"
# The variable of the inventory.
VARIABLE = "mlflow_patches"
FILE = "patches.json"

_logger = logging.getLogger(__name__)


def all_patches() -> dict[str, Patch]:
    """Every patch, by name."""
    return PATCHES | OTHERS


def switched_off(words: str) -> set[str]:
    """Names of the speed patches that are switched off.

    Args:
        words: ``all``, ``none``, or the names of those that are on, separated by commas.

    Raises:
        SettingsError: a name is not that of a speed patch.
    """
    speed = {name for name, patch in PATCHES.items() if patch.kind == SPEED}
    if words in ("all", "none"):
        return speed if words == "none" else set()
    wanted = {word.strip() for word in words.split(",")}
    if unknown := wanted - speed:
        raise settings.SettingsError(
            f"{VARIABLE} names {', '.join(sorted(unknown))}: use all, none, or some of {', '.join(sorted(speed))}"
        )
    return speed - wanted


def misfits(patches: Iterable[Patch]) -> dict[str, str]:
    """The patches that do not fit the installed release, and why."""
    found = {}
    for patch in patches:
        try:
            patch.check()
        except MisfitError as error:
            found[patch.name] = str(error)
    return found


def refuse(found: Mapping[str, str]) -> None:
    """Refuse to serve without a safety patch.

    Args:
        found: the result of :func:`misfits`.

    Raises:
        MisfitError: one of them is a safety patch.
    """
    reasons = [f"{name} ({why})" for name, why in found.items() if all_patches()[name].kind == SAFETY]
    if reasons:
        raise MisfitError(
            f"this release must not serve, because a safety patch does not fit it: {'; '.join(reasons)}. "
            "Keep the previous release, or adapt the patch"
        )


def apply(service: str) -> dict[str, Any]:
    """Apply the patches of a service that fit and are switched on.

    Args:
        service: ``rest`` or ``asgi``.

    Returns:
        The result of each patch's ``apply``, by name.

    Raises:
        MisfitError: a safety patch does not fit.
        SettingsError: the setting names an unknown patch.
    """
    unwanted = switched_off(os.environ.get(SETTING, "all"))
    wanted = [patch for patch in all_patches().values() if service in patch.services and patch.name not in unwanted]
    # Check all of them first: one patch may replace what another one checks.
    found = misfits(wanted)
    refuse(found)
    off = {name: f"switched off by {VARIABLE}" for name in sorted(unwanted) if service in PATCHES[name].services}
    done = {}
    for module in MODULES:
        patch: Patch = module.PATCH
        if patch not in wanted or patch.name in found:
            continue
        try:
            done[patch.name] = module.apply()
        except Exception as error:
            if patch.kind == SAFETY:
                raise
            found[patch.name] = f"{type(error).__name__}: {error}"
    for name, why in found.items():
        off[name] = why
        _logger.warning("patch %s is off, MLflow's own code is used: %s", name, why)
    _record(service, off)
    return done


def _record(service: str, off: Mapping[str, str]) -> None:
    """Record the patches that are off for ``mlflowctl status``, if the unit has a runtime directory."""
    directory = os.environ.get("RUNTIME_DIRECTORY")
    if service == "rest" and directory:
        (Path(directory) / FILE).write_text(json.dumps(off))


def main() -> int:
    """Exit 0 if the release may serve, with all patches or without some for speed; 1 with the reason if not."""
    found = misfits(all_patches().values())
    try:
        refuse(found)
    except MisfitError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"patches_off": [f"{name}: {why}" for name, why in found.items()]}))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    sys.exit(main())
