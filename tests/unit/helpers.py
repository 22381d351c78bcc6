"""What tests of mlflowctl share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlflowctl.recovery.repository import VERIFIED, Point

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEEP = {"last": 3, "daily": 14, "weekly": 8, "monthly": 12}


def point(hours: float, state: str = VERIFIED, name: str = "") -> Point:
    """A point of so many hours ago."""
    time = NOW - timedelta(hours=hours)
    return Point(name or f"p{hours:g}{state}", f"s{hours:g}", time, state, ())


def settings(tmp_path: Path) -> dict[str, Any]:
    """A complete configuration."""
    paths = ("config_path", "root_path", "runtime_path", "volume_path", "state_path")
    return {name: str(tmp_path) for name in paths} | {
        "unit": "mlflow",
        "user": "mlflow",
        "group": "mlflow-artifacts",
        "public_url": "https://mlflow.example.com",
        "database": "mlflow",
        "database_role": "mlflow",
        "database_socket_path": "/run",
        "full_file": str(tmp_path / "full"),
        "fence_file": str(tmp_path / "fence"),
        "closed_file": str(tmp_path / "closed"),
        "files": [],
        "keep": KEEP,
        "stale_hours": 26,
        "wal_archive": False,
        "timers": [],
        "snapshot": "none",
        "gc_older_than": "90d",
        "notify": {"command": [], "mail": "", "url": ""},
        "repositories": [{"name": "local", "location": "/r", "password_file": "/p"}],
    }
