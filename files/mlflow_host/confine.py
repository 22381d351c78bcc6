"""Keep MLflow's hands inside the artifact store.

Whoever may create an experiment names its artifact location, and MLflow takes
``file:///etc`` for one: the server would then read and write its own files for
them. Local repositories outside the store are refused here, wherever in MLflow
they are made, and also for experiments that exist.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow_host.settings import required


def apply() -> None:
    """Replace what MLflow makes local artifact repositories with.

    Raises:
        SettingsError: the store is not set.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    store = Path(required("MLFLOW_ARTIFACTS_DESTINATION")).resolve()

    class StoreRepository(LocalArtifactRepository):  # type: ignore[misc]
        """A local repository that lies in the store."""

        def __init__(self, artifact_uri: str, *more: Any, **named: Any) -> None:
            super().__init__(artifact_uri, *more, **named)
            if not Path(self.artifact_dir).resolve().is_relative_to(store):
                raise MlflowException(
                    f"{artifact_uri!r} is not in this server's artifact store", error_code=PERMISSION_DENIED
                )

    for scheme in ("", "file"):
        _artifact_repository_registry.register(scheme, StoreRepository)
