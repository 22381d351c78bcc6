"""The load of a whole team, as fast as possible; run by a real MLflow client.

``load.py JOURNAL STOP THREADS``: until the file STOP exists, every thread
creates runs, logs, uploads, overwrites, registers and deletes. One JSON line in
JOURNAL for each acknowledged write, one with ``error`` for each failure.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

journal, stop, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
lock = threading.Lock()
client = MlflowClient()
experiment = mlflow.set_experiment(f"load-{int(time.time() * 1000)}").experiment_id


def note(**facts: object) -> None:
    """One line, with the time of the acknowledgement in seconds since 1970."""
    with lock, journal.open("a") as file:
        file.write(json.dumps({"time": time.time(), **facts}) + "\n")


def upload(run: str, folder: Path, name: str, text: str) -> None:
    """Upload a small file and note its content."""
    (folder / name).write_text(text)
    client.log_artifact(run, str(folder / name), "out")
    note(kind="artifact", run=run, path=f"out/{name}", text=text)


def one_round(worker: int, number: int, folder: Path) -> None:
    """A run, metrics, files, an overwritten file, a deleted one, a registered model."""
    run = client.create_run(experiment).info.run_id
    client.log_param(run, "worker", worker)
    note(kind="param", run=run, key="worker", value=str(worker))
    for step in range(3):
        client.log_metric(run, "loss", 1 / (step + 1), step=step)
    note(kind="metric", run=run, key="loss", value=1 / 3)
    upload(run, folder, "kept.txt", f"{worker}/{number}")
    upload(run, folder, "passing.txt", "soon gone")
    get_artifact_repository(client.get_run(run).info.artifact_uri).delete_artifacts("out/passing.txt")
    note(kind="deleted", run=run, path="out/passing.txt")
    if number % 3 == 0:
        model = client.create_logged_model(experiment, name=f"m{worker}-{number}", source_run_id=run)
        (folder / "MLmodel").write_text("flavors: {}\nmodel_uuid: x\n")
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
        note(kind="model", model=model.model_id)
    client.set_terminated(run)
    note(kind="finished", run=run)


def work(worker: int) -> None:
    """Rounds until the file STOP exists."""
    number = 0
    with tempfile.TemporaryDirectory() as folder:
        while not stop.exists():
            try:
                one_round(worker, number, Path(folder))
            except Exception as error:  # a failure is a result of this test
                note(error=repr(error)[:500])
            number += 1


workers = [threading.Thread(target=work, args=(worker,)) for worker in range(threads)]
for thread in workers:
    thread.start()
for thread in workers:
    thread.join()
