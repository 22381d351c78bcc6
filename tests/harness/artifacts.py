"""Artifacts by MLflow's REST API."""

from __future__ import annotations

from typing import Any

API = "/api/2.0/mlflow-artifacts/artifacts"


def listing(http: Any, server: Any, root: str) -> dict[str, Any]:
    """MLflow's listing: size and kind by name."""
    path = root.removeprefix(f"{server.url}{API}/")
    answer = http.get(f"{server.url}{API}", params={"path": path})
    return {file["path"]: (file["is_dir"], file.get("file_size")) for file in answer.json().get("files", [])}
