"""No row stops an operation: a reference to nothing is reported, once, as broken at source."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

# Values that any editor can put into a row through the API.
ODD = [
    "http://[x",
    "mlflow-artifacts:/.artifact.uploading.x/m",
    "mlflow-artifacts:/%00/%ff%fe",
    "mlflow-artifacts:/a/" + "b" * 300,
    "mlflow-artifacts:/" + "/".join(["c" * 200] * 30),
    "models:/odd-0/1",
    "runs:/none/model",
    "file:///etc",
    "s3://[::1/bucket",
    "mlflow-artifacts:/line\nbreak/\x1b[31mred",
    "//[",
    "\x7f\u202e:[/",
]


@pytest.fixture
def rows(server: Any, host: Any, http: Any) -> Iterator[list[str]]:
    """Rows of each kind with each of those, and a deleted run that is old enough for gc; removed afterwards."""
    mark = f"odd-{uuid.uuid4().hex[:8]}"
    api = f"{server.url}/api/2.0/mlflow"
    experiment = http.post(f"{api}/experiments/create", json={"name": mark}).json()["experiment_id"]
    http.post(f"{api}/registered-models/create", json={"name": mark})
    names, statements = [], []
    for number, uri in enumerate(ODD):
        text = "'" + uri.replace("'", "''") + "'"
        run = http.post(f"{api}/runs/create", json={"experiment_id": experiment}).json()["run"]["info"]["run_id"]
        names.append(f"{mark}/{number + 1}")
        statements.append(
            f"INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, current_stage, source,"
            f" status) VALUES ('default', '{mark}', {number + 1}, 1, 1, 'None', left({text}, 500), 'READY')"
        )
        statements.append(f"UPDATE runs SET artifact_uri = left({text}, 200) WHERE run_uuid = '{run}'")
        statements.append(
            f"INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('tr-{mark}-{number}', {experiment}, 1, 'OK')"
        )
        statements.append(
            f"INSERT INTO trace_tags (request_id, key, value) VALUES ('tr-{mark}-{number}', 'mlflow.artifactLocation', {text})"
        )
        if number % 2:
            http.post(f"{api}/runs/delete", json={"run_id": run})
            statements.append(f"UPDATE runs SET deleted_time = 1 WHERE run_uuid = '{run}'")
    psql(server, host, statements)
    yield names
    psql(
        server,
        host,
        [
            f"DELETE FROM model_versions WHERE name = '{mark}'",
            f"DELETE FROM trace_tags WHERE request_id LIKE 'tr-{mark}-%'",
            f"DELETE FROM trace_info WHERE request_id LIKE 'tr-{mark}-%'",
            f"DELETE FROM tags WHERE run_uuid IN (SELECT run_uuid FROM runs WHERE experiment_id = {experiment})",
            f"DELETE FROM runs WHERE experiment_id = {experiment}",
        ],
    )
    http.post(f"{api}/experiments/delete", json={"experiment_id": experiment})


def psql(server: Any, host: Any, statements: list[str]) -> None:
    """Run statements as the role that owns MLflow's tables."""
    role, database = server["mlflow_database_role"], server["mlflow_database"]
    done = host.run(
        f"runuser -u {server['mlflow_user']} -- psql --set ON_ERROR_STOP=1 -U {role} -d {database} -c %s",
        ";\n".join(statements),
    )
    assert done.rc == 0, done.stderr


def test_no_row_stops_an_operation(host: Any, control: Any, rows: list[str]) -> None:
    """A point is taken and verified; broken references are in its facts and in `verify`, and counted in `status`."""
    facts = control.run("backup")
    assert facts["broken_at_source"] >= len(ODD)
    assert 0 < len(facts["broken"]) <= 20
    found = host.run("mlflowctl verify --json")
    assert "Traceback" not in found.stderr
    for name in rows:
        assert found.stdout.count(f"model_version {name}:") == 1
    assert all(ord(letter) >= 32 or letter == "\n" for letter in found.stdout)
    # Of the point too, which lost nothing.
    assert control.run("verify latest", expect=1)["lost"] == []
    control.run("orphans list")
    control.run("gc --older-than 1d --dry-run")
    control.run("gc --older-than 1d")
    status = host.run("mlflowctl status --json")
    assert "broken at source in the last recovery point" in status.stdout
    for part in ("--run none", f"--model {rows[0]}"):
        done = host.run(f"mlflowctl restore latest {part} --json")
        assert (done.rc, "Traceback" in done.stderr + done.stdout) == (2, False)
    assert control.run("drill")["lost"] == 0
