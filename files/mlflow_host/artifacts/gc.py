"""``mlflow gc`` on the server itself: deletes below the store, without asking the server over HTTP.

MLflow's own command turns ``mlflow-artifacts:/`` into HTTP requests, with a
login that no process of ours has. Here the scheme means the store's directory.

Any editor writes rows, and one of them must not end the removal of all others, nor
make the host ask another one: what is not a directory below the store is left alone.

On standard input stand the IDs that may go, by kind: who runs this has looked whether
others need their files. Whatever else MLflow finds is passed over.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow_host.core.settings import SettingsError, required


class Elsewhere(ValueError):
    """An artifact location that is no directory below the store."""


class LeftAlone:
    """In the place of MLflow's repository: deletes nothing, and says so.

    Args:
        why: for a person.
    """

    def __init__(self, why: Elsewhere) -> None:
        self.why = why

    def delete_artifacts(self, _artifact_path: str | None = None) -> None:
        """Say why nothing is deleted; the row goes."""
        print(f"left alone: {self.why}", file=sys.stderr)


def directory(uri: str, store: str) -> str:
    """The directory below the store that an artifact location stands for.

    Raises:
        Elsewhere: it names the store itself, leads out of it, or is none.
    """
    store = store.rstrip("/")
    try:
        found = urlsplit(uri)
        path = found.path
        # As MLflow does it: until nothing changes.
        while (decoded := unquote(path)) != path:
            path = decoded
    except ValueError as error:
        raise Elsewhere(f"{uri!r} is no artifact location: {error}") from error
    if found.scheme in ("", "file"):
        path = path.removeprefix(f"{store}/") if path.startswith(f"{store}/") else ""
    elif found.scheme != "mlflow-artifacts":
        path = ""
    parts = PurePosixPath("/" + path.strip("/")).parts[1:]
    if not parts or ".." in parts or "\0" in path:
        raise Elsewhere(f"{uri!r} is not a directory below the store")
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
                "this MLflow's gc finds its repositories or its store elsewhere: "
                "mlflow_host.artifacts.gc does not fit it"
            )
        cli.get_artifact_repository = lambda artifact_uri, *_, **__: local(LocalArtifactRepository, artifact_uri, store)
        get_store = cli._get_store
        cli._get_store = lambda *arguments, **named: only(get_store(*arguments, **named), names)
        cli.gc.main(["--backend-store-uri", uri, *sys.argv[1:]], standalone_mode=False)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def only(store: Any, names: dict[str, set[str]]) -> Any:
    """MLflow's store, in which nothing is deleted but what has these IDs.

    Args:
        store: MLflow's; it is changed.
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
    store.search_experiments = lambda *given, **named: _kept(
        search_experiments(*given, **named), lambda found: found.experiment_id in names["experiment"]
    )
    store.search_runs = lambda *given, **named: _kept(
        search_runs(*given, **named), lambda found: found.info.run_id in names["run"]
    )
    return store


def _kept(page: Any, wanted: Callable[[Any], bool]) -> Any:
    """A page of a search without some of its entries; the next page is where it was."""
    page[:] = filter(wanted, page)
    return page


def local(repository: Any, uri: str, store: str) -> Any:
    """MLflow's repository for local directories, for a location in the store; for others what deletes nothing."""
    try:
        return repository(directory(uri, store))
    except Elsewhere as why:
        return LeftAlone(why)


if __name__ == "__main__":
    sys.exit(main())
