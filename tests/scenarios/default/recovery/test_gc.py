"""Data that users have deleted are removed permanently, and no others."""

from __future__ import annotations

import json
import re
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


def test_deleted_runs_are_removed_permanently(control: Any, host: Any, server: Any, client: Any, http: Any) -> None:
    """A dry run removes nothing; a real one removes files and rows of the deleted run only."""
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


# A deleted run and model of a live experiment, and a deleted experiment with a run and a trace.
DELETE_EACH = """
import json, sys
import mlflow
from mlflow import MlflowClient
client = MlflowClient()
name = "gc names " + sys.argv[1]
lives, gone = client.create_experiment(name + " lives"), client.create_experiment(name + " gone")
run = client.create_run(lives, run_name="a run\x1b[2J, and " + "long " * 30).info.run_id
model = client.create_logged_model(lives, name="its-model").model_id
inner = client.create_run(gone).info.run_id
trace = client.start_trace("t", experiment_id=gone)
client.end_trace(trace.trace_id)
mlflow.flush_trace_async_logging()
client.delete_run(run)
client.delete_logged_model(model)
client.delete_experiment(gone)
print(json.dumps([name, lives, gone, run, model, inner, trace.trace_id]))
"""


def test_a_dry_run_names_what_would_be_removed(control: Any, host: Any, client: Any, http: Any, server: Any) -> None:
    """Kind, ID, name and experiment of each, as JSON and in text that a pipe does not truncate; and only those are removed."""
    message = client("-c", DELETE_EACH, f"{time.time():.3f}").splitlines()[-1]
    name, lives, gone, run, model, inner, trace = json.loads(message)
    plan = control.run("gc --older-than 0s --dry-run")
    mine = {
        (one["kind"], one["id"], one["experiment_id"], one["experiment"])
        for one in plan["removes"]
        if one["experiment"].startswith(name)
    }
    assert mine == {
        ("experiment", gone, gone, f"{name} gone"),
        ("run", run, lives, f"{name} lives"),
        ("run", inner, gone, f"{name} gone"),
        ("logged_model", model, lives, f"{name} lives"),
        ("trace", trace, gone, f"{name} gone"),
    }
    assert "its-model" in [one["name"] for one in plan["removes"]]
    assert plan["experiments"] >= 1
    assert plan["traces"] >= 1
    assert plan["not_named"] == 0
    shown = host.check_output("mlflowctl gc --older-than 0s --dry-run 2>&1 | cat")
    (line,) = [line for line in shown.splitlines() if run in line]
    assert f"{name} lives" in line
    assert r"a run\x1b[2J, and " + "long " * 30 in line

    done = control.run("gc --older-than 0s")
    assert {one["id"] for one in done["removes"]} == {one["id"] for one in plan["removes"]}
    ask = f"{server.url}/api/2.0/mlflow"
    assert http.get(f"{ask}/runs/get", params={"run_id": run}).status_code == 404
    assert http.get(f"{ask}/experiments/get", params={"experiment_id": gone}).status_code == 404
    assert http.get(f"{ask}/experiments/get", params={"experiment_id": lives}).ok


@pytest.mark.parametrize("source", ["{uri}/folder", "runs:/{run}/folder"])
def test_what_a_model_needs_is_kept(control: Any, server: Any, client: Any, http: Any, source: str) -> None:
    """A deleted run whose files a registered model uses is in every point, is reported and kept; others are removed."""
    api, store, host = f"{server.url}/api/2.0/mlflow", server["mlflow_volume_path"] + "/store", control.host
    _, deleted = client("-c", DELETE_ONE).split()[-2:]
    _, other = client("-c", DELETE_ONE).split()[-2:]
    uri = http.get(f"{api}/runs/get", params={"run_id": deleted}).json()["run"]["info"]["artifact_uri"]
    http.post(f"{api}/registered-models/create", json={"name": "relies"})
    version = {"name": "relies", "source": source.format(uri=uri, run=deleted), "run_id": deleted}
    made = http.post(f"{api}/model-versions/create", json=version)
    assert made.json()["model_version"]["source"] == version["source"]

    # It is checked in the live store and in the point.
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


def test_a_directory_with_other_content_is_kept(control: Any, server: Any, http: Any, client: Any) -> None:
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

    # The experiment is removed, with its run, and then the run that it had kept.
    assert http.post(f"{api}/experiments/delete", json={"experiment_id": inner}).ok
    control.run("gc --older-than 0s")
    control.run("gc --older-than 0s")
    assert http.get(f"{api}/runs/get", params={"run_id": deleted}).status_code == 404
    assert http.get(f"{api}/experiments/get", params={"experiment_id": inner}).status_code == 404


def test_orphans_are_set_aside_only_on_request(control: Any, host: Any, http: Any, server: Any) -> None:
    """A file without a row is reported; a recent one stays; one that is set aside can be moved back or deleted."""
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
    (kept,) = [entry for entry in control.run("leftovers list") if entry["suffix"] == aside["suffix"]]
    assert (kept["kind"], kept["holds"], kept["bytes"]) == ("quarantine", "orphans", 5)
    assert kept["age"].endswith(("s", "m"))
    shown = host.check_output("mlflowctl leftovers list")
    assert re.search(rf"{aside['suffix']} +quarantine +orphans +0.0 MiB +\d+[sm]", shown), shown
    control.run(f"leftovers delete {aside['suffix']}")
    assert not http.get(url).ok
    assert name not in control.run("orphans list")["directories"]


def test_a_repository_that_vanished_is_not_made_anew(control: Any, host: Any) -> None:
    """Its disk may just be unmounted: a new empty repository would hide that."""
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
