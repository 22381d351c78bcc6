"""Measure the figures of provisioning in the documents, on an otherwise idle machine: ``python -m bench.provisioning``.

Provisions a new container of the demo, logs a run, provisions it five times more,
and writes docs/results/provisioning.json. `make readme` puts it into docs/results/README.md.
"""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from statistics import median

from bench.machine import machine
from bench.servers import ROOT

# Proportional set size of a unit's processes, in KiB (proc(5), smaps_rollup).
PSS = """
main=$(systemctl show -p MainPID --value $1.service)
for p in $main $(pgrep -P $main); do awk '/^Pss:/ {print $2}' /proc/$p/smaps_rollup; done
"""


def run(*command: str) -> str:
    """Run a program; returns what it prints."""
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def seconds(message: str, pattern: str) -> int:
    """A number of seconds that the demo printed."""
    return int(re.findall(pattern + r" (\d+) s", message)[0])


def on_host(*command: str) -> str:
    """Run a program in the demo's container."""
    return run("docker", "exec", "mlflow-demo", *command)


def main() -> None:
    """Measure and write."""
    run("make", "demo-down")
    first = run("make", "demo")
    again = [run("make", "demo") for _ in range(5)]
    changed = sum(map(int, re.findall(r"changed=(\d+)", "".join(again))))
    if changed:
        raise SystemExit(f"a second run reported {changed} changes: that is a bug, not a figure")
    times = [seconds(message, "provisioned in") for message in again]
    memory, exposure = {}, {}
    for unit in ("mlflow", "mlflow-asgi"):
        memory[unit] = sum(map(int, on_host("sh", "-c", PSS, "-", unit).split())) // 1024
    for unit in ("mlflow", "mlflow-asgi", "mlflow-backup", "mlflow-drill", "mlflow-restore"):
        message = on_host("systemd-analyze", "security", "--no-pager", f"{unit}.service")
        exposure[unit] = float(re.findall(r"exposure level for \S+: ([\d.]+)", message)[0])
    result = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": run("git", "rev-parse", "--short", "HEAD").strip(),
        "machine": machine(),
        "provisioning_to_logged_run_seconds": seconds(first, "to the logged run:"),
        "second_run_seconds": {"median": median(times), "min": min(times), "max": max(times)},
        "idle_pss_mib": memory,
        "systemd_exposure": exposure,
    }
    (ROOT / "docs" / "results" / "provisioning.json").write_text(json.dumps(result, indent=2) + "\n")
    run("make", "demo-down")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
