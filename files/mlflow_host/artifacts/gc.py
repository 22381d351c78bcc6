"""``mlflow gc`` on the server itself: deletes files below the store directly, not over HTTP.

MLflow's own command turns ``mlflow-artifacts:/`` into HTTP requests, with a login
that our processes do not have. Here the scheme means the store's directory.

Any editor can write rows, and one of them must not stop the removal of the others, nor
make this host connect to another one: what is not a directory below the store is skipped.

Standard input lists the IDs to remove, by kind: the caller has checked that no other
rows need their files. Everything else that MLflow finds is skipped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow_host.core.settings import SettingsError, required


class OutsideStoreError(ValueError):
    """An artifact location that is not a directory below the store."""


class NoDeletion:
    """Replaces MLflow's repository: deletes nothing, and prints why.

    Args:
        why: the reason.
    """

    def __init__(self, why: OutsideStoreError) -> None:
        self.why = why

    def delete_artifacts(self, _artifact_path: str | None = None) -> None:
        """Print why nothing is deleted; the row is removed anyway."""
        print(f"no files deleted: {self.why}", file=sys.stderr)


def directory(uri: str, store: str) -> str:
    """The directory of an artifact location below the store.

    Raises:
        OutsideStoreError: it is the store itself, outside of it, or invalid.
    """
    store = store.rstrip("/")
    try:
        found = urlsplit(uri)
        path = found.path
        # Like MLflow: until nothing changes.
        while (decoded := unquote(path)) != path:
            path = decoded
    except ValueError as error:
        raise OutsideStoreError(f"{uri!r} is not an artifact location: {error}") from error
    if found.scheme in ("", "file"):
        path = path.removeprefix(f"{store}/") if path.startswith(f"{store}/") else ""
    elif found.scheme != "mlflow-artifacts":
        path = ""
    parts = PurePosixPath("/" + path.strip("/")).parts[1:]
    if not parts or ".." in parts or "\0" in path:
        raise OutsideStoreError(f"{uri!r} is not a directory below the store")
    return "/".join([store, *parts])


def main() -> int:
    """Run ``mlflow gc`` with our arguments; exit 1 with the reason on standard error."""
    from mlflow import cli
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    try:
        uri, store = required("MLFLOW_BACKEND_STORE_URI"), required("MLFLOW_ARTIFACTS_DESTINATION")
        names = {kind: set(found) for kind, found in json.load(sys.stdin).items()}
        if not hasattr(cli, "get_artifact_repository") or not hasattr(cli, "_get_store"):
            raise SettingsError(
                "this MLflow's gc opens its repositories or its store in another way: "
                "mlflow_host.artifacts.gc does not support it"
            )
        cli.get_artifact_repository = lambda artifact_uri, *_, **__: repository_for(
            LocalArtifactRepository, artifact_uri, store
        )
        get_store = cli._get_store
        cli._get_store = lambda *arguments, **named: restrict(get_store(*arguments, **named), names)
        cli.gc.main(["--backend-store-uri", uri, *sys.argv[1:]], standalone_mode=False)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def restrict(store: Any, names: dict[str, set[str]]) -> Any:
    """Restrict MLflow's store so that gc only finds these IDs.

    Args:
        store: MLflow's store, which is changed.
        names: IDs by kind: ``run``, ``logged_model``, ``experiment``.
    """
    runs, models = store._get_deleted_runs, store._get_deleted_logged_models
    search_experiments, search_runs = store.search_experiments, store.search_runs
    store._get_deleted_runs = lambda *given, **named: [
        found for found in runs(*given, **named) if found in names["run"]
    ]
    store._get_deleted_logged_models = lambda *given, **named: [
        found for found in models(*given, **named) if found in names["logged_model"]
    ]
    store.search_experiments = lambda *given, **named: _filtered(
        search_experiments(*given, **named), lambda found: found.experiment_id in names["experiment"]
    )
    store.search_runs = lambda *given, **named: _filtered(
        search_runs(*given, **named), lambda found: found.info.run_id in names["run"]
    )
    return store


def _filtered(page: Any, wanted: Callable[[Any], bool]) -> Any:
    """A page of a search, filtered in place; its token stays."""
    page[:] = filter(wanted, page)
    return page


def repository_for(repository: Any, uri: str, store: str) -> Any:
    """MLflow's local repository for a location in the store; otherwise one that deletes nothing."""
    try:
        return repository(directory(uri, store))
    except OutsideStoreError as why:
        return NoDeletion(why)


if __name__ == "__main__":
    sys.exit(main())
