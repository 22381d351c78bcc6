"""What users have deleted goes for good, and nothing else does."""

from __future__ import annotations

import time
from typing import Any

import pytest

# Run by a real client: prints the IDs of a run to keep and of one that is deleted.
DELETE_ONE = """
import mlflow
from mlflow import MlflowClient
client = MlflowClient()
experiment = mlflow.set_experiment("gc").experiment_id
for _ in range(2):
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "some text", "folder/file.txt")
    client.log_metric(run, "m", 1)
    print(run)
client.delete_run(run)
"""


def test_deleted_runs_go_for_good(control: Any, host: Any, server: Any, client: Any, http: Any) -> None:
    """A rehearsal removes nothing; the real one removes files and rows of the deleted run, and of no other."""
    kept, deleted = client("-c", DELETE_ONE).split()[-2:]
    store = server["mlflow_volume_path"] + "/store"
    assert control.run("gc --older-than 1d")["runs"] == 0

    plan = control.run("gc --older-than 0s --dry-run")
    assert plan["runs"] >= 1
    assert plan["bytes"] >= len("some text")
    assert host.run(f"test -e {store}/*/{deleted}/artifacts/folder/file.txt").rc == 0

    done = control.run("gc --older-than 0s")
    assert done["runs"] == plan["runs"]
    assert host.run(f"test -e {store}/*/{deleted}/artifacts/folder/file.txt").rc != 0
    assert host.run(f"test -e {store}/*/{kept}/artifacts/folder/file.txt").rc == 0
    ask = server.url + "/api/2.0/mlflow/runs/get?run_id="
    assert http.get(ask + deleted).status_code == 404
    assert http.get(ask + kept).ok


@pytest.mark.parametrize("source", ["{uri}/folder", "runs:/{run}/folder"])
def test_what_a_model_needs_stays(control: Any, server: Any, client: Any, http: Any, source: str) -> None:
    """A deleted run whose files a registered model relies on is in every point, is named and stays; the others go."""
    api, store, host = f"{server.url}/api/2.0/mlflow", server["mlflow_volume_path"] + "/store", control.host
    _, deleted = client("-c", DELETE_ONE).split()[-2:]
    _, other = client("-c", DELETE_ONE).split()[-2:]
    uri = http.get(f"{api}/runs/get", params={"run_id": deleted}).json()["run"]["info"]["artifact_uri"]
    http.post(f"{api}/registered-models/create", json={"name": "relies"})
    version = {"name": "relies", "source": source.format(uri=uri, run=deleted), "run_id": deleted}
    made = http.post(f"{api}/model-versions/create", json=version)
    assert made.json()["model_version"]["source"] == version["source"]

    # It is looked for in what is served and in the point.
    control.run("backup")
    directory = host.check_output(f"ls --directory {store}/*/{deleted}/artifacts")
    host.check_output(f"mv {directory}/folder {directory}/elsewhere")
    assert [line for line in control.run("verify", expect=1)["broken_at_source"] if "relies/1" in line]
    assert "relies/1" not in str(control.run("verify latest"))
    host.check_output(f"mv {directory}/elsewhere {directory}/folder")
    assert "relies/1" not in str(control.run("verify"))
    assert deleted not in str(control.run("orphans list")["directories"])

    done = control.run("gc --older-than 0s")
    assert [line for line in done["left_alone"] if deleted in line and "relies/1" in line]
    assert host.run(f"test -e {directory}/folder/file.txt").rc == 0
    assert host.run(f"test -e {store}/*/{other}").rc != 0 or not host.check_output(f"find {store}/*/{other} -type f")
    http.delete(f"{api}/registered-models/delete", json={"name": "relies"})
    done = control.run("gc --older-than 0s")
    assert done["runs"] == 1
    assert not [line for line in done["left_alone"] if deleted in line]


def test_a_directory_in_which_others_live_stays(control: Any, server: Any, http: Any, client: Any) -> None:
    """An editor locates an experiment in the directory of a run that is deleted: its runs keep their files."""
    api = f"{server.url}/api/2.0/mlflow"
    _, deleted = client("-c", DELETE_ONE).split()[-2:]
    _, other = client("-c", DELETE_ONE).split()[-2:]
    at = http.get(f"{api}/runs/get", params={"run_id": deleted}).json()["run"]["info"]["artifact_uri"]
    created = http.post(f"{api}/experiments/create", json={"name": f"in-{deleted}", "artifact_location": at})
    inner = created.json()["experiment_id"]
    info = http.post(f"{api}/runs/create", json={"experiment_id": inner}).json()["run"]["info"]
    path = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    file = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{path}/file.txt"
    assert http.put(file, data=b"alive").ok

    done = control.run("gc --older-than 0s")
    assert [line for line in done["left_alone"] if deleted in line]
    assert http.get(file).content == b"alive"
    assert http.get(f"{api}/runs/get", params={"run_id": deleted}).ok
    assert http.get(f"{api}/runs/get", params={"run_id": other}).status_code == 404

    # The experiment goes, with its run, and so does what it had kept.
    assert http.post(f"{api}/experiments/delete", json={"experiment_id": inner}).ok
    control.run("gc --older-than 0s")
    control.run("gc --older-than 0s")
    assert http.get(f"{api}/runs/get", params={"run_id": deleted}).status_code == 404
    assert http.get(f"{api}/experiments/get", params={"experiment_id": inner}).status_code == 404


def test_orphans_are_put_aside_only_when_told(control: Any, host: Any, http: Any, server: Any) -> None:
    """A file that no row refers to is named; a young one stays; put aside it can come back, or go for good."""
    before = control.run("orphans list")
    name = f"nobodys-{time.time():.0f}"
    url = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{name}/file.txt"
    assert http.put(url, data=b"12345").ok
    found = control.run("orphans list")
    assert name in found["directories"]
    assert found["files"] == before["files"] + 1
    assert found["bytes"] == before["bytes"] + 5
    assert http.get(url).content == b"12345"

    assert name not in control.run("orphans quarantine")["directories"]
    assert http.get(url).ok
    host.check_output("touch -d '8 days ago' %s/store/%s/file.txt", server["mlflow_volume_path"], name)
    aside = control.run("orphans quarantine")
    assert aside["directories"] == [name]
    assert not http.get(url).ok
    assert control.run("verify")["lost"] == []

    assert control.run(f"leftovers put-back {aside['suffix']}")["came_back"] == 1
    assert http.get(url).content == b"12345"
    aside = control.run("orphans quarantine")
    assert {"suffix": aside["suffix"]} in control.run("leftovers list")
    control.run(f"leftovers delete {aside['suffix']}")
    assert not http.get(url).ok
    assert name not in control.run("orphans list")["directories"]


def test_a_repository_that_vanished_is_not_made_anew(control: Any, host: Any) -> None:
    """Its disk may only be unmounted: a new empty one in its place would hide that."""
    control.run("backup")
    host.check_output("mv /var/backups/mlflow /var/backups/away")
    try:
        assert "is its disk mounted" in control.run("backup", expect=1)["error"]
        host.check_output("mkdir -m 0700 /var/backups/mlflow")
        assert "is its disk mounted" in control.run("backup", expect=1)["error"]
        assert host.check_output("ls -A /var/backups/mlflow") == ""
    finally:
        host.check_output("rm -rf /var/backups/mlflow && mv /var/backups/away /var/backups/mlflow")
    control.run("backup")
