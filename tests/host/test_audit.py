"""The trail of who did what."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.hosts.control import control


def test_changes_leave_a_line(server: Any, host: Any, http: Any) -> None:
    """Who, in which role, what, about which run, and how it ended; in the file and in the journal."""
    api = server.url + "/api/2.0/mlflow"
    unique = f"audited {time.time_ns()}"
    experiment = http.post(api + "/experiments/create", json={"name": unique}).json()["experiment_id"]
    run = http.post(api + "/runs/create", json={"experiment_id": experiment}).json()["run"]["info"]["run_id"]
    http.post(api + "/runs/set-tag", json={"run_id": run, "key": "k", "value": "a-secret-value"})
    http.put(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/a.txt", data=b"abc")
    http.post(api + "/registered-models/create", json={"name": unique})
    http.post(api + "/runs/search", json={"experiment_ids": [experiment]})
    http.get(api + "/runs/get", params={"run_id": run})

    name = server.login[0]
    lines = control(host, f"audit --user {name} --since 5m")[-5:]
    created, started, tagged, uploaded, registered = lines
    assert [line["status"] for line in lines] == [200, 200, 200, 201, 200]
    assert {line["role"] for line in lines} == {"admin"}
    assert created["route"] == "/api/2.0/mlflow/experiments/create"
    assert (started["experiment"], tagged["run"]) == (experiment, run)
    assert (uploaded["experiment"], uploaded["run"], uploaded["method"]) == (experiment, run, "PUT")
    assert uploaded["bytes"] > 3
    assert registered["model"] == unique
    assert registered["seconds"] >= 0

    everything = host.check_output(f"cat /var/log/{server.unit}/audit.log; journalctl -t {server.unit}_audit -o cat")
    assert everything.count(f'"run":"{run}"') == 4
    for secret in ("a-secret-value", server.login[1], "Basic", "Bearer"):
        assert secret not in everything


def test_refusals_leave_a_line_and_strangers_do_not_fill_it(server: Any, host: Any, stranger: Any) -> None:
    """Somebody who tries what the role does not allow; a failed login stands in the log of logins."""
    url = server.url + "/api/2.0/mlflow/runs/delete"
    assert stranger.post(url, json={"run_id": "f" * 32}, auth=("bob", "second-secret-word")).status_code == 403
    assert stranger.post(url, json={"run_id": "e" * 32}, auth=("bob", "wrong")).status_code == 401
    line = control(host, "audit --user bob --since 5m")[-1]
    assert (line["role"], line["status"], line["run"]) == ("viewer", 403, "")
    failed = json.loads(host.check_output(f"tail -n 1 /var/log/nginx/{server.unit}-login.log"))
    assert (failed["name"], failed["status"]) == ("bob", 401)
    assert failed["address"]


def test_a_rotated_log_goes_on(server: Any, host: Any, http: Any) -> None:
    """After logrotate nginx writes the new file, and `mlflowctl audit` reads both."""
    unique = f"rotated {time.time_ns()}"
    before = len(control(host, "audit"))
    host.check_output(f"logrotate --force /etc/logrotate.d/{server.unit}-audit")
    http.post(server.url + "/api/2.0/mlflow/registered-models/create", json={"name": unique})
    assert host.check_output(f"cat /var/log/{server.unit}/audit.log").count(unique) == 1
    assert len(control(host, "audit")) == before + 1
