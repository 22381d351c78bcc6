"""Checks before the large part of a point is fetched: free space, release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflowctl.core import trees
from mlflowctl.core.config import Instance
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.recovery import preflight
from mlflowctl.stores.artifacts.base import ArtifactStore

SPARE_BYTES = 256 << 20


def refuse_without_space(artifacts: ArtifactStore, root: Path, need: int) -> None:
    """Refuse if there is too little space, and remove the scratch directory.

    Args:
        artifacts: the live store.
        root: the scratch directory.
        need: bytes.

    Raises:
        ControlError: there is less space.
    """
    free = artifacts.free()
    if free is not None and free < need + SPARE_BYTES:
        trees.remove(root)
        raise ControlError(
            f"{artifacts.where} has {free >> 20} MiB free and the restore needs {(need + SPARE_BYTES) >> 20} MiB: "
            "free some space"
        )


def refuse_other_release(instance: Instance, facts: dict[str, Any]) -> None:
    """Refuse a point that the installed software cannot serve.

    Raises:
        Refused: another schema revision.
    """
    head = preflight.release_head(instance)
    if facts["revision"] != head:
        raise Refused(
            f"the point needs release {facts['release']} (schema revision {facts['revision']}), and this host has "
            f"revision {head}: install that MLflow version with the playbook first (mlflow_version), then restore"
        )
