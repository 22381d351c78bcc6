"""Confine MLflow to the artifact store.

Clients choose an experiment's artifact location, and MLflow accepts
``file:///etc``: the server would then read and write its own files for them.
Local repositories outside the store are refused here, wherever MLflow creates
them, and also for existing experiments.

Directories that recovery points leave out are refused, too. MLflow reserves a prefix
for uploads in progress, which points exclude; MLflow refuses that prefix for a file
and accepts it for a directory, and for an experiment's location.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow_host.core.known import SAFETY, Patch
from mlflow_host.core.settings import required

PATCH = Patch(
    name="confine",
    kind=SAFETY,
    why="confines local artifact repositories to the store",
    test="tests/host/test_isolation.py",
    replaces=(
        "mlflow.store.artifact.local_artifact_repo:LocalArtifactRepository.__init__",
        "mlflow.store.artifact.local_artifact_repo:LocalArtifactRepository._get_or_create_artifact_dir",
        "mlflow.store.artifact.artifact_repository_registry:ArtifactRepositoryRegistry.register",
        "mlflow.store.artifact.artifact_repository_registry:get_artifact_repository",
    ),
    needs=(
        "mlflow.store.artifact.artifact_repository_registry:_artifact_repository_registry",
        "mlflow.store.artifact.local_artifact_repo:_TEMP_ARTIFACT_PREFIX",
    ),
    known={"3.17.2": "a762350afab737dec79aca2cd1533fe69a172f451ab4e3de22ef54bb25c38aef"},
    services=("rest", "asgi"),
)


def apply() -> None:
    """Replace MLflow's local artifact repository.

    Raises:
        SettingsError: the store is not set.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
    from mlflow.store.artifact.local_artifact_repo import _TEMP_ARTIFACT_PREFIX, LocalArtifactRepository
    from mlflow.utils.validation import path_not_unique

    store = Path(required("MLFLOW_ARTIFACTS_DESTINATION")).resolve()

    class StoreRepository(LocalArtifactRepository):  # type: ignore[misc]
        """A local repository inside the store."""

        def __init__(self, artifact_uri: str, *more: Any, **named: Any) -> None:
            super().__init__(artifact_uri, *more, **named)
            if not Path(self.artifact_dir).resolve().is_relative_to(store):
                raise MlflowException(
                    f"{artifact_uri!r} is not in this server's artifact store", error_code=PERMISSION_DENIED
                )

        def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
            """As MLflow's, which reports a path that is not normalized as an internal error."""
            if artifact_path and path_not_unique(artifact_path):
                raise MlflowException(
                    f"{artifact_path!r} is not a valid artifact path: write it without '.', '..' and double slashes",
                    error_code=INVALID_PARAMETER_VALUE,
                )
            super().log_artifact(local_file, artifact_path)

        def _get_or_create_artifact_dir(self, artifact_path: str | None = None) -> Any:
            """As MLflow's, which every write calls for its directory."""
            directory = Path(self.artifact_dir).resolve().relative_to(store) / (artifact_path or "")
            if any(part.startswith(_TEMP_ARTIFACT_PREFIX) for part in directory.parts):
                raise MlflowException(
                    f"no directory of an artifact may begin with {_TEMP_ARTIFACT_PREFIX!r}: "
                    "it marks uploads in progress, which recovery points leave out",
                    error_code=INVALID_PARAMETER_VALUE,
                )
            return super()._get_or_create_artifact_dir(artifact_path)

    for scheme in ("", "file"):
        _artifact_repository_registry.register(scheme, StoreRepository)
