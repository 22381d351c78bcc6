"""The last result of each operation: a state file, and metrics for Prometheus.

Metrics go through the text file collector of node_exporter. A point counts
only once it is verified.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from mlflowctl.core.config import Instance

METRICS = {
    "time": ("mlflow_{operation}_last_success_timestamp_seconds", "When it last succeeded, seconds since 1970"),
    "seconds": ("mlflow_{operation}_duration_seconds", "How long it took"),
    "fence_seconds": ("mlflow_{operation}_fence_seconds", "How long deletions were blocked"),
    "bytes": ("mlflow_{operation}_bytes", "Bytes of artifacts and dump"),
    "files": ("mlflow_{operation}_files", "Files"),
    "references": ("mlflow_{operation}_references", "References from the database that were checked"),
    "lost": ("mlflow_{operation}_lost", "References or files that the copy lacks"),
    "broken_at_source": ("mlflow_{operation}_broken_at_source", "References that were broken before the copy"),
    "rpo_seconds": ("mlflow_{operation}_rpo_seconds", "Age of the point that was restored"),
    "rto_seconds": ("mlflow_{operation}_rto_seconds", "Seconds from the start of the restore to a server that answers"),
}


def path(instance: Instance) -> Path:
    """The state file."""
    return instance.state_path / "state.json"


def read(instance: Instance) -> dict[str, Any]:
    """The last result of each operation; empty if there is none yet."""
    try:
        data: dict[str, Any] = json.loads(path(instance).read_text())
    except (OSError, ValueError):
        return {}
    return data


def record(instance: Instance, operation: str, ok: bool, **facts: Any) -> None:
    """Record the result of an operation atomically, and write the metrics.

    A failure is recorded beside the last success, never instead of it.
    """
    now = datetime.now(UTC)
    data = read(instance)
    entry = data.setdefault(operation, {})
    entry["success" if ok else "failure"] = {"time": now.timestamp(), "at": now.isoformat(timespec="seconds"), **facts}
    entry["ok"] = ok
    write(path(instance), json.dumps(data, indent=2) + "\n", 0o600)
    _metrics(instance, data)


def acknowledge(instance: Instance, operation: str) -> bool:
    """Mark the last failure as acknowledged; returns whether there was one."""
    data = read(instance)
    entry = data.get(operation, {})
    if entry.get("ok", True) or "acknowledged" in entry["failure"]:
        return False
    entry["failure"]["acknowledged"] = datetime.now(UTC).isoformat(timespec="seconds")
    write(path(instance), json.dumps(data, indent=2) + "\n", 0o600)
    _metrics(instance, data)
    return True


def write(target: Path, text: str, mode: int) -> None:
    """Replace a file atomically."""
    descriptor, name = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    os.replace(name, target)


def _metrics(instance: Instance, data: dict[str, Any]) -> None:
    registry = CollectorRegistry()
    for operation, entry in sorted(data.items()):
        Gauge(f"mlflow_{operation}_ok", f"Whether the last {operation} succeeded", registry=registry).set(
            entry["ok"] or "acknowledged" in entry.get("failure", {})
        )
        for fact, (name, text) in METRICS.items():
            value = entry.get("success", {}).get(fact)
            if value is not None:
                Gauge(name.format(operation=operation), text, registry=registry).set(value)
    target = instance.state_path / "metrics" / "mlflow.prom"
    write_to_textfile(str(target), registry)
    target.chmod(0o644)
