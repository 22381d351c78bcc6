"""Shared helpers of mlflowctl's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlflowctl.core import config
from mlflowctl.recovery.repository import VERIFIED, Point

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEEP = {"last": 3, "daily": 14, "weekly": 8, "monthly": 12}


def point(hours: float, state: str = VERIFIED, name: str = "") -> Point:
    """A point of so many hours ago."""
    time = NOW - timedelta(hours=hours)
    return Point(name or f"p{hours:g}{state}", f"s{hours:g}", time, state, ())


def settings(tmp_path: Path, **changes: dict[str, Any]) -> dict[str, Any]:
    """A complete configuration, with these changes by table."""
    paths = ("config_path", "root_path", "runtime_path", "reports_path", "state_path")
    data: dict[str, Any] = {
        "instance": {name: str(tmp_path) for name in paths}
        | {
            "unit": "mlflow",
            "user": "mlflow",
            "group": "mlflow-artifacts",
            "public_url": "https://mlflow.example.com",
        },
        "database": {
            "kind": "postgresql",
            "name": "mlflow",
            "role": "mlflow",
            "socket_path": "/run",
            "wal_archive": False,
        },
        "artifacts": {"kind": "local", "path": str(tmp_path), "full_file": str(tmp_path / "full")},
        "notify": {"command": [], "mail": "", "url": ""},
        "recovery": {
            "fence_file": str(tmp_path / "fence"),
            "closed_file": str(tmp_path / "closed"),
            "files": [],
            "snapshot": "none",
            "keep": KEEP,
            "stale_hours": 26,
            "gc_older_than": "90d",
            "repositories": [{"name": "local", "location": "/r", "password_file": "/p"}],
        },
        "timers": [],
    }
    return {name: value | changes[name] if name in changes else value for name, value in data.items()}


def configured(tmp_path: Path, **changes: dict[str, Any]) -> config.Config:
    """The same, read."""
    return config.parse(settings(tmp_path, **changes), "x")
