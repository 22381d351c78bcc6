"""Clients of many versions work, also while a recovery point is taken: only deletions wait, and then succeed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = sorted(path.stem.removeprefix("mlflow-") for path in (ROOT / "tests/locks").glob("mlflow-*.txt"))
FENCE = "/run/mlflow-backup"
LIMIT = 180  # seconds; a client waits for the half minute of Retry-After


def start(version: str, ready: Path, token: str = "") -> subprocess.Popen[str]:
    """Start a client of that version, with verification on; by password, or by token."""
    given = dict(re.findall(r"^export (\w+)=(.*)$", (ROOT / ".demo/client.env").read_text(), re.M))
    if token:
        del given["MLFLOW_TRACKING_USERNAME"], given["MLFLOW_TRACKING_PASSWORD"]
        given["MLFLOW_TRACKING_TOKEN"] = token
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


def on_host(command: str) -> str:
    """Run a command in the demo's container; returns what it prints."""
    done = subprocess.run(["docker", "exec", "mlflow-demo", "sh", "-c", command], check=True, capture_output=True)
    return done.stdout.decode()


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
        message, _ = clients[version].communicate(timeout=LIMIT)
        assert clients[version].returncode == 0, message[-3000:]
        assert f"MLflow {version}." in message


def test_old_clients_work_with_a_token(tmp_path: Path) -> None:
    """The same, by MLFLOW_TRACKING_TOKEN alone."""
    made = json.loads(on_host("mlflowctl token create old-clients --owner demo --json"))
    clients = {version: start(version, tmp_path / version, made["token"]) for version in VERSIONS}
    for version, client in clients.items():
        message, _ = client.communicate(timeout=LIMIT)
        assert client.returncode == 0, message[-3000:]
        assert f"MLflow {version}." in message
    changed = on_host("mlflowctl audit --user old-clients --json")
    assert len(json.loads(changed)) > 10 * len(VERSIONS)
