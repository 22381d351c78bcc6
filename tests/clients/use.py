"""Typical use of a client, with functions that all versions have; run by old clients.

``use.py READY``: logs, searches, uploads, downloads, registers; creates the
file READY; then deletes an artifact.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

ready = Path(sys.argv[1])
client = MlflowClient()
name = f"client {mlflow.__version__} {time.time():.0f}"
experiment = client.create_experiment(name)
run = client.create_run(experiment).info.run_id
client.log_param(run, "depth", 3)
for step in range(3):
    client.log_metric(run, "loss", 1 / (step + 1), step=step)
client.log_batch(run, metrics=[Metric("batch", 2.0, 1, 0)], params=[Param("wide", "yes")])
client.set_tag(run, "client", mlflow.__version__)

with tempfile.TemporaryDirectory() as folder:
    sent = Path(folder, "sent")
    sent.mkdir()
    (sent / "text.txt").write_text(name)
    (sent / "bytes.bin").write_bytes(bytes(range(256)) * 4096)
    client.log_artifacts(run, str(sent), "out")
    back = Path(mlflow.artifacts.download_artifacts(run_id=run, artifact_path="out", dst_path=folder))
    for file in sent.iterdir():
        assert (back / file.name).read_bytes() == file.read_bytes(), file.name

(found,) = client.search_runs([experiment], "metrics.loss < 0.5 and params.depth = '3'")
assert found.info.run_id == run
assert found.data.metrics == {"loss": 1 / 3, "batch": 2.0}, found.data.metrics
assert sorted(item.path for item in client.list_artifacts(run, "out")) == ["out/bytes.bin", "out/text.txt"]

client.create_registered_model(name)
version = client.create_model_version(name, f"{found.info.artifact_uri}/out", run).version
client.set_registered_model_alias(name, "best", version)
assert client.get_model_version_by_alias(name, "best").run_id == run

ready.touch()
repository = get_artifact_repository(found.info.artifact_uri)
repository.delete_artifacts("out/text.txt")
assert [item.path for item in client.list_artifacts(run, "out")] == ["out/bytes.bin"]
client.set_terminated(run)
print(f"MLflow {mlflow.__version__} is served")
