"""Clients of many versions work, also while a recovery point is taken: only deletions wait, and then succeed."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = sorted(path.stem.removeprefix("mlflow-") for path in (ROOT / "tests/locks").glob("mlflow-*.txt"))
FENCE = "/run/mlflow-backup"
LIMIT = 180  # seconds; a client that was told to come back waits for half a minute


def start(version: str, ready: Path) -> subprocess.Popen[str]:
    """Start a client of that version, with verification on."""
    given = dict(re.findall(r"^export (\w+)=(.*)$", (ROOT / ".demo/client.env").read_text(), re.M))
    return subprocess.Popen(
        [ROOT / f".venv-client-{version}/bin/python", "-W", "ignore", ROOT / "tests/clients/use.py", ready],
        env={**os.environ, **given, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def wait_until(done: Callable[[], bool]) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + LIMIT
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def on_host(command: str) -> None:
    """Run it in the demo's container."""
    subprocess.run(["docker", "exec", "mlflow-demo", "sh", "-c", command], check=True)


def test_old_clients_work_and_only_deletions_wait(tmp_path: Path) -> None:
    """Each logs, uploads, searches and registers while deletions wait; its own deletion succeeds afterwards."""
    assert len(VERSIONS) == 5
    on_host(f"install -d {FENCE} && touch {FENCE}/fence-deletes")
    clients = {version: start(version, tmp_path / version) for version in VERSIONS}
    try:
        for version, client in clients.items():
            arrived = wait_until(lambda: (tmp_path / version).exists() or client.poll() is not None)  # noqa: B023
            assert arrived, version
        time.sleep(1)
        ended = {version: client.communicate()[0] for version, client in clients.items() if client.poll() is not None}
    finally:
        on_host(f"rm -r {FENCE}")
    assert ended == {}
    for version in VERSIONS:
        said, _ = clients[version].communicate(timeout=LIMIT)
        assert clients[version].returncode == 0, said[-3000:]
        assert f"MLflow {version}." in said
