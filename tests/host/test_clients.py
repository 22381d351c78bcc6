"""Unmodified MLflow clients through the public URL, verification on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

METHODS = ["GET", "POST", "PATCH", "DELETE"]

LARGE_ARTIFACT = """
import hashlib, os, tempfile, mlflow
from pathlib import Path
folder = Path(tempfile.mkdtemp())
block = os.urandom(1 << 20)
with open(folder / "large.bin", "wb") as file:
    for number in range(100):
        file.write(number.to_bytes(4, "big") + block[4:])
digest = lambda path: hashlib.file_digest(open(path, "rb"), "sha256").hexdigest()
mlflow.set_experiment("large")
with mlflow.start_run() as run:
    mlflow.log_artifact(str(folder / "large.bin"))
back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="large.bin")
print(digest(back) == digest(folder / "large.bin"), os.path.getsize(back))
"""

ODD_NAMES = """
import json, tempfile, mlflow
from pathlib import Path
names = ["a b.txt", "100%.txt", "caf\\u00e9.txt", "plus+and&.txt", "\\u65e5\\u672c.txt", "empty", "x" * 200]
folder = Path(tempfile.mkdtemp())
for name in names:
    (folder / name).write_text("" if name == "empty" else name)
mlflow.set_experiment("odd names")
with mlflow.start_run() as run:
    mlflow.log_artifacts(str(folder), "odd")
back = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="odd"))
print(json.dumps({name: (back / name).read_text() == ("" if name == "empty" else name) for name in names}))
"""

DELETES = """
import mlflow
from mlflow.exceptions import MlflowException
client = mlflow.MlflowClient()
run = client.create_run(client.create_experiment("of an editor"))
client.log_metric(run.info.run_id, "m", 1)
try:
    client.delete_run(run.info.run_id)
except MlflowException as error:
    print(error.error_code, error)
"""

PROMPT = """
import mlflow
mlflow.genai.register_prompt(name="greeting", template="Hello {{name}}")
print(mlflow.genai.load_prompt("prompts:/greeting/1").format(name="Ada"))
"""


def test_the_example_trains_logs_traces_and_registers(server: Any, host: Any, example: str) -> None:
    """The example of the README works, including traces, which only the ASGI unit serves."""
    output = example
    assert output.count("equal:") == 5, output
    assert "DIFFERENT" not in output
    assert output.strip().splitlines()[-1].startswith(server.url + "/#/experiments/")
    assert host.service(f"{server.unit}-asgi.service").is_running


def test_100_mb_artifact_up_and_down(server: Any, host: Any, client: Callable[..., str]) -> None:
    """An artifact far above nginx's default limit comes back byte for byte, and is not buffered on nginx's disk."""
    assert client("-c", LARGE_ARTIFACT).split()[-2:] == ["True", str(100 << 20)]
    left = host.run("find /var/lib/nginx -type f")
    assert left.stdout == ""


def test_odd_file_names(client: Callable[..., str]) -> None:
    """Spaces, percent signs, accents, long and empty files round-trip."""
    result = json.loads(client("-c", ODD_NAMES).strip().splitlines()[-1])
    assert all(result.values()), result


def test_prompts(client: Callable[..., str]) -> None:
    """The prompt registry works although model sources are limited."""
    assert client("-c", PROMPT).strip().splitlines()[-1] == "Hello Ada"


@pytest.mark.parametrize("source", ["/etc", "file:///etc", "s3://elsewhere/model", "https://evil.example/model"])
def test_model_sources_are_limited_to_the_proxy(server: Any, http: Any, source: str) -> None:
    """A model version cannot point outside the proxied store."""
    api = server.url + "/api/2.0/mlflow"
    http.post(api + "/registered-models/create", json={"name": "limits"})
    answer = http.post(api + "/model-versions/create", json={"name": "limits", "source": source})
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert f"Invalid model version source: '{source}'. Allowed are mlflow-artifacts:/" in answer.json()["message"]


@pytest.mark.parametrize(
    "path",
    [
        "../.volume-id",
        "%2e%2e/.volume-id",
        "..%2f.volume-id",
        "%252e%252e/.volume-id",
        "x/..;/../../.volume-id",
        "..%5c.volume-id",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "file:///etc/passwd",
        "file:%2f%2f%2fetc%2fpasswd",
    ],
)
def test_artifact_paths_do_not_leave_the_store(server: Any, host: Any, http: Any, path: str) -> None:
    """Path tricks neither read, write nor delete outside the store; a backslash is an ordinary character."""
    volume = server["mlflow_volume_path"]
    state = (
        f"cat {volume}/.volume-id; sha256sum /etc/passwd; find {volume} -path {volume}/store -prune -o -print | sort"
    )
    before = host.check_output(state)
    url = server.url + "/api/2.0/mlflow-artifacts/artifacts/"
    for method in ("GET", "PUT", "GET", "DELETE"):
        request = http.prepare_request(requests.Request(method, url, data=b"x" if method == "PUT" else None))
        request.url = url + path
        answer = http.send(request, verify=server.ca)
        assert answer.status_code in (200, 201, 204, 400, 404)
        assert "root:" not in answer.text
        assert before.split()[0] not in answer.text
    assert host.check_output(state) == before


@pytest.mark.parametrize(
    "location",
    [
        "/etc",
        "file:/etc",
        "file:///etc",
        "file://localhost/etc",
        "file:///etc/mlflow/../../etc",
        "{mlflow_volume_path}/../../../../etc",
        "file://{mlflow_volume_path}/elsewhere",
        "file:///tmp/elsewhere",
        "mlflow-artifacts:/../../../../../etc",
        "mlflow-artifacts:/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc",
        "mlflow-artifacts:/x/../../../../../../etc",
    ],
)
def test_artifact_locations_do_not_leave_the_store(server: Any, host: Any, http: Any, location: str) -> None:
    """An experiment located in a directory of the server lists and writes nothing there."""
    api = server.url + "/api/2.0/mlflow"
    given = {
        "name": f"{location} {time.time_ns()}",
        "artifact_location": location.format(**server.settings),
    }
    made = http.post(api + "/experiments/create", json=given)
    if not made.ok:
        assert made.status_code == 400
        return
    experiment = made.json()["experiment_id"]
    run = http.post(api + "/runs/create", json={"experiment_id": experiment}).json()["run"]["info"]["run_id"]
    listed = http.get(api + "/artifacts/list", params={"run_id": run})
    upload = server.url + "/ajax-api/2.0/mlflow/upload-artifact"
    written = http.post(upload, params={"run_uuid": run, "path": "written.txt"}, data=b"x")
    assert not written.ok or location.startswith("mlflow-artifacts:")  # which begins at the store
    assert not listed.ok or listed.json().get("files", []) == []
    elsewhere = f"find / -xdev -path '*{run}*' -not -path '{server['mlflow_volume_path']}/store/*' 2>/dev/null"
    assert host.run(elsewhere).stdout == ""


def test_every_asgi_only_route_reaches_the_asgi_unit(server: Any, host: Any, http: Any) -> None:
    """Routes of the ASGI application alone are passed to it, as derived from the installed release."""
    description = host.file(f"{server['mlflow_root_path']}/current/release.json").content_string
    routes = json.loads(description)["asgi_routes"]
    assert len(routes) > 20
    for route in routes:
        path = route.strip("^$").replace("\\", "").replace(".+", "x")
        answers = [http.request(method, server.url + path, json={}) for method in METHODS]
        # Flask answers an unknown path with a page, whatever the method; the
        # ASGI application answers in JSON for at least one.
        kinds = {answer.headers.get("Content-Type", "").split(";")[0] for answer in answers}
        assert "application/json" in kinds, (path, [answer.status_code for answer in answers])


def test_a_refusal_is_readable(client: Callable[..., str]) -> None:
    """MLflow's client shows the user and the missing role."""
    output = client("-c", DELETES, MLFLOW_TRACKING_USERNAME="eve", MLFLOW_TRACKING_PASSWORD="third-secret-word")
    assert (
        output.strip() == "PERMISSION_DENIED PERMISSION_DENIED: eve has the role editor, and this needs the role admin"
    )
