"""`make demo` works as the README says, and running it again changes nothing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_demo_ends_with_the_runs_url(make: Callable[[str], str]) -> None:
    """It starts from nothing, logs a run, and prints the URL, the user and the next steps."""
    message = make("demo")
    assert re.search(r"The run is at +https://localhost:8443/#/experiments/\d+/runs/[0-9a-f]{32}", message)
    assert re.search(r"Log in as +demo", message)
    print(re.findall(r"provisioned in \d+ s", message)[0])


def test_demo_leaves_a_client_environment() -> None:
    """.demo/client.env makes any MLflow client work, and others cannot read it."""
    file = ROOT / ".demo" / "client.env"
    assert file.stat().st_mode & 0o077 == 0
    names = re.findall(r"^export (\w+)=.+$", file.read_text(), re.M)
    assert names == [
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_SERVER_CERT_PATH",
    ]
    script = f". {file} && {ROOT}/.venv-client/bin/python -c 'import mlflow; print(len(mlflow.search_runs(search_all_experiments=True)))'"
    runs = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert int(runs.stdout.split()[-1]) == 1


def test_a_second_demo_changes_nothing(make: Callable[[str], str]) -> None:
    """Running the demo again converges the same container: changed=0 everywhere."""
    message = make("demo")
    counts = re.findall(r"changed=(\d+)", message)
    assert counts
    assert set(counts) == {"0"}
    print(re.findall(r"provisioned in \d+ s", message)[0])
