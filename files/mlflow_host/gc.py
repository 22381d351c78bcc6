"""``mlflow gc`` on the server itself: deletes below the store, without asking the server over HTTP.

MLflow's own command turns ``mlflow-artifacts:/`` into HTTP requests, with a
login that no process of ours has. Here the scheme means the store's directory.
"""

from __future__ import annotations

import sys
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow_host.settings import SettingsError, required


def directory(uri: str, store: str) -> str:
    """The directory below the store that ``mlflow-artifacts:/…`` stands for.

    Raises:
        SettingsError: the URI names the store itself, or leads out of it.
    """
    parts = PurePosixPath("/" + unquote(urlsplit(uri).path).strip("/")).parts[1:]
    if not parts or ".." in parts:
        raise SettingsError(f"refusing to delete {uri}: it is not a directory below the store")
    return "/".join([store.rstrip("/"), *parts])


def main() -> int:
    """Run ``mlflow gc`` with our arguments; exit 1 with the reason on standard error."""
    from mlflow.cli import gc
    from mlflow.store.artifact import artifact_repository_registry as registry
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    try:
        uri, store = required("MLFLOW_BACKEND_STORE_URI"), required("MLFLOW_ARTIFACTS_DESTINATION")
        # MLflow's command refuses to run without one for a proxied store; nothing asks it.
        registry._artifact_repository_registry.register(
            "mlflow-artifacts", lambda artifact_uri, *_, **__: local(LocalArtifactRepository, artifact_uri, store)
        )
        gc.main(["--backend-store-uri", uri, *sys.argv[1:]], standalone_mode=False)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def local(repository: Any, uri: str, store: str) -> Any:
    """MLflow's repository for local directories, for a URI of the proxied store."""
    return repository(directory(uri, store))


if __name__ == "__main__":
    sys.exit(main())
