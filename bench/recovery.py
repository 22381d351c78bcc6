"""Measure recovery points at scale, on an otherwise idle machine, half an hour: ``python -m bench.recovery``.

Writes docs/results/recovery.json: first and next backup at growing numbers of
files, latency of a client with and without a backup, and the restore of
20,000 files, 1 GB and 1,000,000 metric rows onto a bare host. Stops with an
error if anything is lost. `make readme` puts the figures into docs/results/README.md.
``python -m bench.recovery growth|latency|restore`` measures only that, and
keeps the other figures.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import machine
from bench.servers import ROOT

HOST = "mlflow-demo"
RESULT = ROOT / "docs" / "results" / "recovery.json"
STORE = "/var/lib/mlflow/artifacts/store"
REPOSITORY = "/var/backups/mlflow"
GROWTH = (10_000, 100_000, 300_000)
# As many bytes a file as in the set that is restored: 1 GB in 20,000 files.
FILE_BYTES = 50_000
ROUNDS = 3

# On the host: files of random bytes, in directories of 500. Arguments: root, first number, end, bytes of each.
WRITE = """
import os, sys
root, first, end, size = sys.argv[1], *map(int, sys.argv[2:])
for number in range(first, end):
    folder = f"{root}/d{number // 500}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/f{number}", "wb") as file:
        file.write(os.urandom(size))
"""
# A real client: a run; prints where its artifacts are.
RUN = "import mlflow; r = mlflow.start_run(); mlflow.log_metric('m', 1); print(r.info.experiment_id, r.info.run_id)"
# A real client: logs metrics until a file appears; prints the seconds of each call.
LOG = """
import json, os, sys, time
from mlflow import MlflowClient
client = MlflowClient()
run = client.create_run("0").info.run_id
seconds = []
while len(seconds) < 500 or not os.path.exists(sys.argv[1]):
    start = time.monotonic()
    client.log_metric(run, "m", len(seconds), step=len(seconds))
    seconds.append(time.monotonic() - start)
print(json.dumps(seconds))
"""

# One core at the lowest priority, without the disk: what any load of the second core costs.
HASHING = ("chrt", "--idle", "0", sys.executable, "-c", "import hashlib\nwhile True: hashlib.sha256(bytes(1000000))")


def run(*command: str, **more: Any) -> str:
    """Run a program; returns what it prints."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:200]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return str(done.stdout)


def on_host(*command: str) -> str:
    """Run a program in the container."""
    return run("docker", "exec", HOST, *command)


def control(*arguments: str) -> dict[str, Any]:
    """Run mlflowctl; returns its facts."""
    return dict(json.loads(on_host("mlflowctl", *arguments, "--json")))


def client_environment() -> dict[str, str]:
    """The demo's environment for clients."""
    text = (ROOT / ".demo" / "client.env").read_text()
    return {**os.environ, **dict(re.findall(r"^export (\w+)=(.*)$", text, re.M)), "MLFLOW_DISABLE_TELEMETRY": "true"}


def client(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a real client."""
    command = [str(ROOT / ".venv-client/bin/python"), "-W", "ignore", "-c", code, *arguments]
    return subprocess.Popen(
        command, env=client_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def answer(process: subprocess.Popen[str]) -> str:
    """What a client printed."""
    message, _ = process.communicate()
    if process.returncode:
        raise SystemExit("a client failed")
    return message


def write(folder: str, first: int, end: int, size: int) -> None:
    """Put files into a run's artifacts."""
    on_host("python3", "-c", WRITE, folder, str(first), str(end), str(size))
    on_host("chown", "-R", "mlflow:mlflow-artifacts", folder)


def stored() -> int:
    """Bytes in the repository."""
    return int(on_host("du", "--summarize", "--bytes", REPOSITORY).split()[0])


def new_repository() -> None:
    """Create an empty repository."""
    on_host("find", REPOSITORY, "-mindepth", "1", "-delete")
    control("create-repository", "local")


def backup() -> dict[str, Any]:
    """Take a point; returns its figures."""
    before = stored()
    facts = control("backup")
    return {name: facts[name] for name in ("files", "seconds", "fence_seconds")} | {"bytes_added": stored() - before}


def growth(folder: str) -> list[dict[str, Any]]:
    """First and next backup, with 1 % changed in between, at growing numbers of files."""
    found, there = [], 0
    for count in GROWTH:
        write(folder, there, count, FILE_BYTES)
        there = count
        new_repository()
        first = backup()
        write(folder, 0, count // 100, FILE_BYTES)
        found.append({"count": count, "first": first, "next_with_1_percent_changed": backup()})
        print(json.dumps(found[-1]), flush=True)
    return found


def percentile(seconds: list[float], share: float) -> float:
    """A percentile, in milliseconds."""
    return round(sorted(seconds)[int(len(seconds) * share)] * 1000, 1)


def p95(*command: str) -> float:
    """95th percentile of logging a metric, in milliseconds, while a program runs, which is stopped afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        stop = Path(folder, "stop")
        other = subprocess.Popen(command) if command else None
        stop.touch()
        try:
            return percentile(json.loads(answer(client(LOG, str(stop)))), 0.95)
        finally:
            if other:
                other.kill()
                other.wait()


def p95_during_backup() -> float:
    """The same, during the first backup into an empty repository."""
    new_repository()
    with tempfile.TemporaryDirectory() as folder:
        stop = Path(folder, "stop")
        logging = client(LOG, str(stop))
        control("backup")
        stop.touch()
        return percentile(json.loads(answer(logging)), 0.95)


def latency() -> dict[str, float]:
    """Medians of a client's latency, in turns: alone, during a backup, and beside the smallest possible load."""
    idle, backup, hashing = [], [], []
    for _ in range(ROUNDS):
        idle.append(p95())
        backup.append(p95_during_backup())
        hashing.append(p95(*HASHING))
    return {
        "p95_ms": median(idle),
        "p95_ms_during_backup": median(backup),
        "p95_ms_beside_hashing": median(hashing),
    }


def restore() -> dict[str, Any]:
    """Remove the container; provision and restore a new one."""
    password = on_host("cat", "/etc/mlflow/secrets/repository_local").strip()
    with tempfile.TemporaryDirectory() as folder:
        run("docker", "cp", f"{HOST}:{REPOSITORY}", f"{folder}/repository")
        run("docker", "rm", "--force", HOST)
        ansible = {
            **os.environ,
            "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": f"{ROOT}/ansible.cfg",
        }
        start = ["tests/harness/start.yml", "-i", "localhost,", "-e", "@inventories/demo/container.yml"]
        run("ansible-playbook", *start, env=ansible)
        run("docker", "cp", f"{folder}/repository", f"{HOST}:{REPOSITORY}")
        on_host("chown", "--recursive", "root:root", REPOSITORY)
        variables = Path(folder, "repository.json")
        variables.touch(mode=0o600)
        repositories = [{"name": "local", "location": REPOSITORY, "password": password}]
        variables.write_text(json.dumps({"mlflow_backup_repositories": repositories}))
        began = datetime.now(UTC)
        run("ansible-playbook", "-i", "inventories/demo", "playbooks/restore.yml", "-e", f"@{variables}", env=ansible)
        whole = (datetime.now(UTC) - began).total_seconds()
    facts = json.loads(on_host("cat", "/var/lib/mlflow-backup/state.json"))["restore"]["success"]
    if facts["lost"] or control("verify")["lost"]:
        raise SystemExit("something is lost: that is a bug, not a figure")
    rows = on_host("runuser", "-u", "postgres", "--", "psql", "-At", "mlflow", "-c", "SELECT count(*) FROM metrics")
    wanted = ("files", "bytes", "references", "lost", "rto_seconds", "swap_seconds")
    return {name: facts[name] for name in wanted} | {
        "metric_rows": int(rows),
        "with_provisioning_seconds": round(whole),
    }


def fill(folder: str) -> None:
    """Create the data for the backup beside a client and for the restore: files of a run, and rows of metrics."""
    write(folder, 0, 20_000, FILE_BYTES)
    rows = (
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
        " SELECT 'scale', random(), n, run_uuid, n, false FROM generate_series(1, 1000000) n,"
        " (SELECT run_uuid FROM runs ORDER BY start_time DESC LIMIT 1) newest"
    )
    on_host("runuser", "-u", "postgres", "--", "psql", "--quiet", "mlflow", "-c", rows)


def main() -> None:
    """Measure and write."""
    parts = sys.argv[1:] or ["growth", "latency", "restore"]
    result: dict[str, Any] = json.loads(RESULT.read_text())
    run("make", "demo-down")
    run("make", "demo")
    experiment, identifier = answer(client(RUN)).split()[-2:]
    folder = f"{STORE}/{experiment}/{identifier}/artifacts/scale"
    result |= {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": run("git", "rev-parse", "--short", "HEAD").strip(),
        "machine": machine(),
        "file_bytes": FILE_BYTES,
    }
    if "growth" in parts:
        result["growth"] = growth(folder)
        on_host("rm", "-r", folder)
    if "latency" in parts or "restore" in parts:
        fill(folder)
    if "latency" in parts:
        result["latency"] = latency()
    if "restore" in parts:
        control("backup")
        result["restore"] = restore()
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    run("make", "demo-down")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
