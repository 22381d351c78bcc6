"""A part of a point is restored: one run's or one model's artifacts, or the database alone."""

from __future__ import annotations

from typing import Any

import pytest

# Run by a real client: a run with two files, and a model version whose files are the run's folder.
LOG = """
import mlflow
from mlflow import MlflowClient
client = MlflowClient()
experiment = mlflow.set_experiment("partial").experiment_id
run = client.create_run(experiment)
for name in ("lost", "changed"):
    client.log_text(run.info.run_id, name, f"folder [1]/{name} *.txt")
client.create_registered_model("partial")
client.create_model_version("partial", run.info.artifact_uri + "/folder [1]", run_id=run.info.run_id)
print(experiment, run.info.run_id)
"""


@pytest.fixture(scope="module")
def folder(client: Any, server: Any) -> str:
    """A run's folder on the host, with two files."""
    experiment, run = client("-c", LOG).split()[-2:]
    return f"{server['mlflow_volume_path']}/store/{experiment}/{run}/artifacts/folder [1]"


@pytest.fixture(scope="module")
def point(control: Any, folder: str) -> str:
    """A point that holds both files."""
    return str(control.run("backup")["point"])


def content(host: Any, folder: str) -> dict[str, str]:
    """Text by name of the files in a folder."""
    names = host.check_output("cd %s 2>/dev/null && ls", folder).splitlines() if host.file(folder).exists else []
    return {name: host.file(f"{folder}/{name}").content_string for name in names}


@pytest.mark.parametrize("kind", ["run", "model"])
def test_missing_files_are_restored(control: Any, host: Any, folder: str, point: str, kind: str) -> None:
    """The lost file is restored and belongs to the service; a changed file and a newer one stay."""
    run = folder.split("/")[-3]
    name = run if kind == "run" else "partial/1"
    host.check_output("cd %s && rm 'lost *.txt' && printf new > 'changed *.txt' && printf later > later.txt", folder)
    message = control.run(f"restore {point} --{kind} {name}")
    assert (message["came_back"], message["stayed"], message["put_aside"]) == (1, 1, "")
    assert content(host, folder) == {"lost *.txt": "lost", "changed *.txt": "new", "later.txt": "later"}
    back = host.file(f"{folder}/lost *.txt")
    assert (back.user, back.group) == ("mlflow", "mlflow-artifacts")


def test_the_points_files_replace_the_live_ones(control: Any, host: Any, folder: str, point: str) -> None:
    """With the flag the folder is as in the point, and its previous content is kept until it is discarded."""
    message = control.run(f"restore {point} --model partial/1 --replace-live")
    assert content(host, folder) == {"lost *.txt": "lost", "changed *.txt": "changed"}
    aside = message["put_aside"]
    old = folder.replace("/store/", f"/store.before-{aside}/")
    assert content(host, old) == {"lost *.txt": "lost", "changed *.txt": "new", "later.txt": "later"}
    control.run(f"leftovers delete {aside}")
    assert not host.file(old).exists


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--run 0123456789abcdef0123456789abcdef", "has no run"),
        ("--model nothing/1", "has no model"),
        ("--model m-0123", "has no model"),
        ("--run a --model b", "exclude each other"),
        ("--run a --database-only", "exclude each other"),
    ],
)
def test_nonsense_is_refused(control: Any, point: str, arguments: str, words: str) -> None:
    """Unknown parts and contradicting options are refused, before anything happens."""
    assert words in control.run(f"restore {point} {arguments}", expect=2)["error"]


def test_the_database_alone_goes_back(control: Any, http: Any, server: Any, folder: str, point: str) -> None:
    """Later rows are gone and live files stay; refused without a flag if files of the rows would be missing."""
    host, create = control.host, server.url + "/api/2.0/mlflow/experiments/create"
    http.post(create, json={"name": "after the point"}).raise_for_status()
    host.check_output("printf later > %s/later.txt", folder)
    host.check_output("mv %s %s", folder, f"{folder}.away")
    try:
        message = control.run(f"restore {point} --database-only --replace-live", expect=2)["error"]
        assert "model_version partial/1" in message
    finally:
        host.check_output("mv %s %s", f"{folder}.away", folder)

    done = control.run(f"restore {point} --database-only --replace-live")
    assert done["lost"] == 0
    by_name = server.url + "/api/2.0/mlflow/experiments/get-by-name?experiment_name="
    assert http.get(by_name + "after the point").status_code == 404
    assert http.get(by_name + "partial").ok
    assert host.file(f"{folder}/later.txt").exists
    control.run(f"leftovers delete {done['put_aside']}")
