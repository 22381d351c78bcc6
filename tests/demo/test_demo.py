"""`make demo` works as the README says, and running it again changes nothing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def fresh() -> Iterator[None]:
    """No demo before the first test, none after the last."""
    make("demo-down")
    yield
    make("demo-down")


def make(target: str) -> str:
    """Run ``make <target>``; returns what it prints."""
    done = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    return done.stdout


def test_demo_ends_with_the_runs_url() -> None:
    """From nothing to a logged run; prints the URL, the user and what to do next."""
    said = make("demo")
    assert re.search(r"The run is at +https://localhost:8443/#/experiments/\d+/runs/[0-9a-f]{32}", said)
    assert re.search(r"Log in as +demo", said)
    print(re.findall(r"provisioned in \d+ s", said)[0])


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


def test_a_second_demo_changes_nothing() -> None:
    """Running the demo again converges the same container: changed=0 everywhere."""
    said = make("demo")
    counts = re.findall(r"changed=(\d+)", said)
    assert counts
    assert set(counts) == {"0"}
    print(re.findall(r"provisioned in \d+ s", said)[0])
