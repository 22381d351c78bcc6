"""``mlflow gc`` on the server itself: deletes below the store, without asking the server over HTTP.

MLflow's own command turns ``mlflow-artifacts:/`` into HTTP requests, with a
login that no process of ours has. Here the scheme means the store's directory.

Any editor writes rows, and one of them must not end the removal of all others, nor
make the host ask another one: what is not a directory below the store is left alone.
"""

from __future__ import annotations

import sys
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow_host.settings import SettingsError, required


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
        if not hasattr(cli, "get_artifact_repository"):
            raise SettingsError("this MLflow's gc finds its repositories elsewhere: mlflow_host.gc does not fit it")
        cli.get_artifact_repository = lambda artifact_uri, *_, **__: local(LocalArtifactRepository, artifact_uri, store)
        cli.gc.main(["--backend-store-uri", uri, *sys.argv[1:]], standalone_mode=False)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def local(repository: Any, uri: str, store: str) -> Any:
    """MLflow's repository for local directories, for a location in the store; for others what deletes nothing."""
    try:
        return repository(directory(uri, store))
    except Elsewhere as why:
        return LeftAlone(why)


if __name__ == "__main__":
    sys.exit(main())
