"""The audit log."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness.control import control

# Other tests name artifacts in bytes that are no UTF-8, and the log has those names.
# It exits with 1 if it has skipped a line.
ONLY_UTF8 = "{ iconv -c -f UTF-8 -t UTF-8 || true; }"


def test_changes_leave_a_line(server: Any, host: Any, http: Any) -> None:
    """User, role, operation, run and status; in the file and in the journal."""
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

    everything = host.check_output(
        f"{{ cat /var/log/{server.unit}/audit.log;"
        f" journalctl -t {server.unit}_audit -o cat _SYSTEMD_UNIT=nginx.service; }} | {ONLY_UTF8}"
    )
    assert everything.count(f'"run":"{run}"') == 4
    for secret in ("a-secret-value", server.login[1], "Basic", "Bearer"):
        assert secret not in everything


def test_refusals_leave_a_line_and_strangers_do_not_fill_it(server: Any, host: Any, anonymous: Any) -> None:
    """A request that the role does not allow is logged; a failed login is in the log of logins instead."""
    url = server.url + "/api/2.0/mlflow/runs/delete"
    assert anonymous.post(url, json={"run_id": "f" * 32}, auth=("bob", "second-secret-word")).status_code == 403
    assert anonymous.post(url, json={"run_id": "e" * 32}, auth=("bob", "wrong")).status_code == 401
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


# --- what a request was about ------------------------------------------------------------------
def as_bytes(fields: str) -> bytes:
    return ("{" + fields + "}").encode()


# How a body names a run twice, or so that a search of its text finds none: the decoy's ID, the victim's and the other
# fields give the body and the query. MLflow acts on the victim, if it accepts the body.
FORGED: dict[str, Callable[[str, str, str], tuple[bytes, str]]] = {
    "the key twice": lambda d, v, rest: (as_bytes(f'"run_id":"{d}",{rest},"run_id":"{v}"'), ""),
    "nested": lambda d, v, rest: (as_bytes(f'"x":[{{"run_id":"{d}"}}],{rest},"run_id":"{v}"'), ""),
    "in a string": lambda d, v, rest: (as_bytes(f'"x":"\\"run_id\\":\\"{d}\\"",{rest},"run_id" :\n"{v}"'), ""),
    "an escaped key": lambda d, v, rest: (as_bytes(f'"run\\u005fid":"{v}",{rest}'), f"?run_id={d}"),
    "an escaped value": lambda d, v, rest: (
        as_bytes(f'"x":{{"run_uuid":"{d}"}},{rest},"run_id":"\\u{ord(v[0]):04x}{v[1:]}"'),
        "",
    ),
    "the old name before": lambda d, v, rest: (as_bytes(f'"run_uuid":"{d}","run_id":"{v}",{rest}'), ""),
    "the old name, and the other case": lambda d, v, rest: (as_bytes(f'"run_uuid":"{d}","runId":"{v}",{rest}'), ""),
    "UTF-16": lambda d, v, rest: (("{" + f'"run_id":"{v}",{rest}' + "}").encode("utf-16"), f"?run_uuid={d}"),
    "UTF-32 without a mark": lambda d, v, rest: (
        ("{" + f'"run_id":"{v}",{rest}' + "}").encode("utf-32-be"),
        f"?run%5Fid={d}&run_id={d}",
    ),
    "JSON in JSON": lambda d, v, rest: (
        json.dumps(json.dumps({"x": {"run_id": d}})[:-1] + f',{rest},"run_id":"{v}"' + "}").encode(),
        f"?run_id={d}",
    ),
    "as much as a question may have": lambda d, v, rest: (
        as_bytes(f'"x":"{"y" * 1_040_000}","run_id":"{v}",{rest}'),
        f"?run_id={d}",
    ),
    "a list": lambda d, v, rest: (as_bytes(f'"run_id":["{d}"],{rest}'), ""),
    "an object": lambda d, v, rest: (as_bytes(f'"run_id":{{"run_id":"{d}"}},{rest}'), ""),
    "a form": lambda d, v, rest: (f"run_id={d}&x={v}".encode(), f"?run_id={d}"),
}
# The change that a request makes, by its path.
OPERATIONS = {
    "set-tag": '"key":"k","value":"new"',
    "delete-tag": '"key":"old"',
    "log-parameter": '"key":"p","value":"1"',
    "log-metric": '"key":"m","value":0.5,"timestamp":1,"step":0',
    "log-batch": '"params":[{"key":"p","value":"1"}]',
    "update": '"status":"FAILED"',
    "delete": '"unused":0',
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_run_is_the_one_that_changed(server: Any, host: Any, http: Any, operation: str) -> None:
    """For any body, the log names the run that was changed in the database, or none."""
    api = server.url + "/api/2.0/mlflow"

    def run() -> str:
        made = {"experiment_id": "0", "tags": [{"key": "old", "value": "1"}]}
        return str(http.post(api + "/runs/create", json=made).json()["run"]["info"]["run_id"])

    def shown(run_id: str) -> Any:
        return http.get(api + "/runs/get", params={"run_id": run_id}).json()["run"]

    pairs = {name: (run(), run()) for name in FORGED}
    before = {run_id: shown(run_id) for pair in pairs.values() for run_id in pair}
    answers = {}
    for name, (decoy, victim) in pairs.items():
        body, query = FORGED[name](decoy, victim, OPERATIONS[operation])
        kind = "application/x-www-form-urlencoded" if name == "a form" else "application/json"
        answers[name] = http.post(
            f"{api}/runs/{operation}{query}", data=body, headers={"Content-Type": kind}
        ).status_code
    lines = control(host, f"audit --user {server.login[0]} --since 5m")[-len(FORGED) :]
    reported, changed = {}, {}
    for (name, pair), line in zip(pairs.items(), lines, strict=True):
        assert (line["route"], line["status"]) == (f"/api/2.0/mlflow/runs/{operation}", answers[name])
        changed[name] = [run_id for run_id in pair if shown(run_id) != before[run_id]]
        reported[name] = line["run"]
    assert {name: [run] if run else [] for name, run in reported.items()} == changed
    # Not because everything is refused.
    assert all(changed[name] == [pairs[name][1]] for name in ("the key twice", "nested", "an escaped key", "UTF-16"))


def test_the_experiment_is_the_one_that_changed(server: Any, host: Any, http: Any) -> None:
    """By its ID in the database, in any spelling."""
    api = server.url + "/api/2.0/mlflow"
    decoy, victim = (
        http.post(api + "/experiments/create", json={"name": f"{who} {time.time_ns()}"}).json()["experiment_id"]
        for who in ("decoy", "victim")
    )
    tag = f'"key":"k","value":"{time.time_ns()}"'
    for body in (
        f'"experiment_id":"{decoy}",{tag},"experiment_id":"{victim}"',
        f'"x":{{"experiment_id":"{decoy}"}},"experiment\\u005fid":"{victim}",{tag}',
        f'"experiment_id":"00{victim}",{tag}',
        f'"experiment_id":" {victim} ",{tag}',
    ):
        http.post(
            f"{api}/experiments/set-experiment-tag?experiment_id={decoy}",
            data=as_bytes(body),
            headers={"Content-Type": "application/json"},
        ).raise_for_status()
    refused = http.post(api + "/experiments/set-experiment-tag", json={"experiment_id": f"{decoy}x", "key": "k"})
    made = http.post(f"{api}/experiments/create?experiment_id={decoy}", data=as_bytes(f'"name":"n","x":"{tag[-9:-1]}"'))
    lines = control(host, f"audit --user {server.login[0]} --since 5m")[-6:]
    assert [line["experiment"] for line in lines] == [victim] * 4 + [""] * 2
    assert refused.status_code >= 400
    assert made.status_code in (200, 400)


def test_the_model_is_the_one_that_changed(server: Any, host: Any, http: Any) -> None:
    """Registered models by name and version, logged models by the ID that their handler uses."""
    api = server.url + "/api/2.0/mlflow"
    unique = time.time_ns()
    decoy, victim = f"decoy {unique}", f"victim {unique}"
    run = http.post(api + "/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]
    for name in (decoy, victim):
        http.post(api + "/registered-models/create", json={"name": name}).raise_for_status()
        source = {"name": name, "source": f"{run['artifact_uri']}/m", "run_id": run["run_id"]}
        http.post(api + "/model-versions/create", json=source).raise_for_status()
    logged = [
        http.post(api + "/logged-models", json={"experiment_id": "0"}).json()["model"]["info"]["model_id"]
        for _ in range(2)
    ]
    json_type = {"Content-Type": "application/json"}

    def send(method: str, path: str, body: str) -> None:
        http.request(method, api + path, data=as_bytes(body), headers=json_type).raise_for_status()

    twice = f'"name":"{decoy}","x":{{"name":"{decoy}"}},"n\\u0061me":"{victim}"'
    send("POST", f"/registered-models/set-tag?name={decoy}", f'{twice},"key":"name","value":"{decoy}"')
    send("PATCH", f"/model-versions/update?name={decoy}&version=7", f'{twice},"version":"01","description":"changed"')
    send("POST", "/registered-models/rename", f'{twice},"new_name":"{victim} renamed"')
    # This one uses the body, the other two the path.
    send("PATCH", f"/logged-models/{logged[0]}", f'"model_id":"{logged[1]}","status":"LOGGED_MODEL_READY"')
    decoy_tags = f'"model_id":"{logged[0]}","tags":[{{"key":"k","value":"v"}}]'
    send("PATCH", f"/logged-models/{logged[1]}/tags?model_id={logged[0]}", decoy_tags)
    send("POST", f"/logged-models/{logged[1]}/params", f'"model_id":"{logged[0]}","params":[{{"key":"k","value":"v"}}]')

    lines = control(host, f"audit --user {server.login[0]} --since 5m")[-6:]
    assert [(line["model"], line["version"]) for line in lines] == [
        (victim, ""),
        (victim, "1"),
        (victim, ""),
        *[(logged[1], "")] * 3,
    ]
    renamed = http.get(api + "/registered-models/get", params={"name": f"{victim} renamed"}).json()["registered_model"]
    assert renamed["tags"] == [{"key": "name", "value": decoy}]
    assert renamed["latest_versions"][0]["description"] == "changed"
    shown = [http.get(f"{api}/logged-models/{model}").json()["model"] for model in logged]
    assert [model["info"]["status"] for model in shown] == ["LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY"]
    assert [bool(model["info"].get("tags")) for model in shown] == [False, True]
    assert [bool(model["data"].get("params")) for model in shown] == [False, True]


def test_a_trace_is_in_the_experiment_that_the_database_says(server: Any, host: Any, http: Any) -> None:
    """Whether it is new, moved by a second request that creates it, or deleted."""
    old, new = server.url + "/api/2.0/mlflow", server.url + "/api/3.0/mlflow"
    first, second = (
        http.post(old + "/experiments/create", json={"name": f"{name} {time.time_ns()}"}).json()["experiment_id"]
        for name in "ab"
    )
    trace = f"tr-{uuid.uuid4().hex}"
    found = []
    for experiment, decoy in ((first, second), (second, first)):
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
        info = {"trace_id": trace, "trace_location": place, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
        body = {"x": {"experiment_id": decoy}, "experiment_id": decoy, "trace": {"trace_info": info}}
        http.post(f"{new}/traces?experiment_id={decoy}", json=body).raise_for_status()
        shown = http.get(f"{new}/traces/{trace}").json()["trace"]["trace_info"]["trace_location"]
        found.append(shown["mlflow_experiment"]["experiment_id"])
    text = f'"x":{{"experiment_id":"{first}"}},"request_ids":["{trace}"],"experiment\\u005fid":"{found[-1]}"'
    deleted = http.post(
        f"{new}/traces/delete-traces", data=as_bytes(text), headers={"Content-Type": "application/json"}
    )
    assert deleted.json() == {"traces_deleted": 1}
    lines = control(host, f"audit --user {server.login[0]} --since 5m")[-3:]
    assert [line["experiment"] for line in lines] == [*found, found[-1]]


def test_an_artifact_belongs_to_the_run_at_its_place(server: Any, host: Any, http: Any) -> None:
    """Only the layout's own places count, and of repeated arguments the one that MLflow uses."""
    api = server.url + "/api/2.0/mlflow"
    decoy, victim = (
        http.post(api + "/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"] for _ in range(2)
    )
    model = f"m-{uuid.uuid4().hex}"
    places = {
        f"0/{victim}/artifacts/7/{decoy}/artifacts/a.txt": ("0", victim, ""),
        f"elsewhere/0/{decoy}/artifacts/a.txt": ("", "", ""),
        f"elsewhere/mlflow-artifacts/artifacts/0/{decoy}/artifacts/a.txt": ("", "", ""),
        f"0/{victim}x/{decoy}/artifacts/a.txt": ("0", "", ""),
        f"00/{victim}/artifacts/%61.txt": ("", victim, ""),
        f"0/models/{model}/artifacts/0/{decoy}/artifacts/a.txt": ("0", "", model),
    }
    root = f"{server.url}/api/2.0/mlflow-artifacts/artifacts"
    # It is refused before the login is checked.
    assert http.put(f"{root}/0/{victim}%0a/artifacts/a.txt", data=b"x").status_code == 400
    statuses = [http.put(f"{root}/{place}", data=b"x").status_code for place in places]
    again = f"{server.url}/ajax-api/2.0/mlflow/upload-artifact"
    query = f"?run%5fuuid={victim}&path=b.txt&run_uuid={decoy}&run_id={decoy}"
    assert http.post(again + query, data=b"x").status_code == 200
    lines = control(host, f"audit --user {server.login[0]} --since 5m")[-len(places) - 1 :]
    reported = {
        place: (line["experiment"], line["run"], line["model"]) for place, line in zip(places, lines, strict=False)
    }
    assert reported == places
    assert set(statuses) <= {200, 201}
    assert lines[-1]["run"] == victim
    listed = http.get(api + "/artifacts/list", params={"run_id": victim}).json()["files"]
    assert "b.txt" in {file["path"] for file in listed}


@pytest.mark.parametrize(
    "name",
    [
        'quote " and \\ and "run" "x"',
        'newline\n{"name"\r\n',
        "escape \x1b[2J\x1b]0;title\x07 \x7f",
        "100%25 of %",
        " spaces around ",
        "Modell für Größe 模型",
        "right to left \u202e txt \x85\x9b",
    ],
)
def test_a_name_is_logged_as_it_is_in_one_line(server: Any, host: Any, http: Any, name: str) -> None:
    """Whatever the name contains: it stays on one line, without control characters, and mlflowctl decodes it."""
    unique = f"{name}{time.time_ns()}"
    log = f"/var/log/{server.unit}/audit.log"
    before = int(host.check_output(f"wc -l < {log}"))
    made = http.post(server.url + "/api/2.0/mlflow/registered-models/create", json={"name": unique})
    assert made.status_code == 200
    # nginx writes it once the answer is sent.
    host.run(f"timeout 10 sh -c 'until [ $(wc -l < {log}) -gt {before} ]; do sleep 0.1; done'")
    assert int(host.check_output(f"wc -l < {log}")) == before + 1
    raw = host.check_output(f"tail -n 1 {log}")
    assert json.loads(raw)["route"] == "/api/2.0/mlflow/registered-models/create"
    assert raw.isprintable()
    assert control(host, "audit --since 5m")[-1]["model"] == unique
    assert host.check_output("mlflowctl audit --since 5m").replace("\n", "").isprintable()


def test_a_long_name_is_truncated_with_a_mark(server: Any, host: Any, http: Any) -> None:
    """Nothing that a client sends makes the answer's headers too big for nginx."""
    api = server.url + "/api/2.0/mlflow"
    for length in (256, 257, 300, 100_000):
        http.post(api + "/registered-models/set-tag", json={"name": "n" * length, "key": "k", "value": "v"})
        http.post(api + "/registered-models/set-tag", json={"name": "\x01ü" * length, "key": "k", "value": "v"})
    lines = control(host, "audit --since 5m")[-8:]
    assert {line["status"] for line in lines} <= {400, 404, 500}
    assert lines[0]["model"] == "n" * 256
    assert all(line["model"].endswith("%...") and len(line["model"]) <= 260 for line in lines[1:])


def test_clients_neither_see_nor_send_the_subject_headers(server: Any, host: Any, http: Any) -> None:
    """The headers are between MLflow and nginx."""
    headers = {f"X-Subject-{what}": "decoy" for what in ("Run", "Experiment", "Model", "Version")}
    for path, body in (
        ("/api/2.0/mlflow/registered-models/create", {"name": f"seen {time.time_ns()}"}),
        ("/api/2.0/mlflow/experiments/create", {"name": f"seen {time.time_ns()}"}),
        ("/api/2.0/mlflow/no-such-endpoint", {}),
        ("/gateway/mlflow/v1/chat/completions", {"model": "none", "messages": []}),
    ):
        answer = http.post(server.url + path, json=body, headers=headers)
        assert not [name for name in answer.headers if name.lower().startswith("x-subject")]
    lines = control(host, "audit --since 5m")[-4:]
    assert "decoy" not in json.dumps(lines)
    assert lines[0]["model"].startswith("seen ")


def test_a_client_that_disconnects_is_still_logged(server: Any, host: Any, http: Any) -> None:
    """MLflow completes the request, so nginx waits for its headers."""
    api = server.url + "/api/2.0/mlflow"
    run = http.post(api + "/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]

    def shown(run_id: str) -> Any:
        return http.get(api + "/runs/get", params={"run_id": run_id}).json()["run"]

    place = urlsplit(server.url)
    body = json.dumps({"run_id": run, "key": "k", "value": "v"}).encode()
    login = base64.b64encode(":".join(server.login).encode()).decode()
    head = (
        f"POST {place.path}/api/2.0/mlflow/runs/set-tag HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Basic {login}"
        f"\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    context = ssl.create_default_context(cafile=server.ca)
    with (
        socket.create_connection((place.hostname, place.port or 443)) as plain,
        context.wrap_socket(plain, server_hostname=place.hostname) as connection,
    ):
        connection.sendall(head.encode() + body)
        # Wait until nginx has passed it on, as an attacker would.
        time.sleep(0.002)
    deadline = time.monotonic() + 10
    while "k" not in {tag["key"] for tag in shown(run)["data"]["tags"]}:
        assert time.monotonic() < deadline, "MLflow never got it"
        time.sleep(0.2)
    lines = [line for line in control(host, "audit --since 5m") if line["run"] == run]
    assert [line["route"] for line in lines] == ["/api/2.0/mlflow/runs/set-tag"]


# --- which requests ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path",
    [
        "/ajax-api/3.0/mlflow/gateway/secrets/list",
        "/api/3.0/mlflow/gateway/secrets/get?secret_id=x",
        "/api/2.0/mlflow/webhooks",
        "/ajax-api/3.0/mlflow/assistant/config",
        "/ajax-api/3.0/mlflow/assistant/providers",
        "/ajax-api/3.0/mlflow/assistant/sessions/x/stream",
        "/ajax-api/2.0/mlflow/gateway-proxy?gateway_path=api/2.0/endpoints/",
        "/gateway/mlflow/v1/models",
        "/ajax-api/3.0/jobs/some-job",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_that_costs_or_tells_secrets_leaves_a_line(
    server: Any, host: Any, http: Any, method: str, path: str
) -> None:
    """Also without a change: endpoints that need more than a viewer's role, the gateway and the assistant."""
    answer = http.request(method, server.url + path)
    line = control(host, "audit --since 5m")[-1]
    assert (line["method"], line["route"], line["status"]) == (method, urlsplit(path).path, answer.status_code)


def test_plain_reading_and_strangers_leave_none(server: Any, host: Any, http: Any, anonymous: Any) -> None:
    """Or the log would be a second log of all requests, and anybody could fill it."""
    before = len(control(host, "audit"))
    for path in (
        "/api/2.0/mlflow/experiments/get?experiment_id=0",
        "/version",
        "/",
        "/api/2.0/mlflow/experiments/search",
    ):
        http.get(server.url + path, params={"max_results": 1})
    for path in ("/gateway/mlflow/v1/models", "/api/2.0/mlflow/webhooks", "/x/..", "/no/such"):
        for method in ("GET", "POST", "BREW", "X-GET"):
            anonymous.request(method, server.url + path)
    assert len(control(host, "audit")) == before


def test_a_refused_get_and_odd_methods_leave_a_line(server: Any, host: Any, anonymous: Any) -> None:
    """A request without permission is logged, with any spelling of the method."""
    asked = [("GET", "/api/2.0/mlflow/webhooks"), ("GETX", "/"), ("X-DELETE", "/api/2.0/mlflow/runs/delete")]
    for method, path in asked:
        answer = anonymous.request(method, server.url + path, auth=("bob", "second-secret-word"))
        assert answer.status_code in (403, 405), method
    lines = control(host, "audit --user bob --since 5m")[-3:]
    assert [(line["method"], line["route"]) for line in lines] == asked


# --- where it is written -----------------------------------------------------------------------
def test_lines_of_others_in_the_journal_are_not_ours(server: Any, host: Any, http: Any) -> None:
    """journald records which unit wrote a line, which distinguishes a forged one from ours."""
    name = f"{server.unit}_audit"
    unique = f"genuine {time.time_ns()}"
    http.post(server.url + "/api/2.0/mlflow/registered-models/create", json={"name": unique}).raise_for_status()
    mallory = f"mallory-{time.time_ns()}"
    forged = json.dumps({"time": "2026-01-01T00:00:00+00:00", "name": mallory, "model": "x"})
    host.check_output("runuser -u nobody -- logger -t %s -- %s", name, forged)
    for socket_name in ("/dev/log", "/run/systemd/journal/dev-log"):
        code = (
            "import socket,sys;socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM).sendto("
            "f'<190>Jan  1 00:00:00 {sys.argv[1]}: {sys.argv[2]} _SYSTEMD_UNIT=nginx.service'.encode(),sys.argv[3])"
        )
        host.check_output("runuser -u nobody -- python3 -c %s %s %s %s", code, name, forged, socket_name)
    native = f"MESSAGE={forged}\nSYSLOG_IDENTIFIER={name}\n_SYSTEMD_UNIT=nginx.service\n"
    code = (
        "import socket,sys;socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM).sendto("
        "sys.argv[1].encode(),'/run/systemd/journal/socket')"
    )
    host.check_output("runuser -u nobody -- python3 -c %s %s", code, native)
    host.check_output("journalctl --sync")
    everything = host.check_output(f"journalctl -q -o cat --since -5min -t {name} | {ONLY_UTF8}")
    assert everything.count(mallory) == 4
    # As docs/reference/audit-log.md says.
    ours = host.check_output(f"journalctl -q -o cat --since -5min -t {name} _SYSTEMD_UNIT=nginx.service | {ONLY_UTF8}")
    assert ours.count(unique) == 1
    assert mallory not in ours
    assert mallory not in json.dumps(control(host, "audit --since 5m"))


def test_nobody_but_root_and_nginx_writes_the_file(server: Any, host: Any) -> None:
    """Others do not reach the directory; nginx's own account cannot put another file in its place."""
    directory = host.file(f"/var/log/{server.unit}")
    assert (directory.user, oct(directory.mode)) == ("root", "0o750")
    assert host.run(f"runuser -u nobody -- cat /var/log/{server.unit}/audit.log").rc != 0
    assert host.run(f"runuser -u www-data -- rm -f /var/log/{server.unit}/audit.log").rc != 0
    assert host.run(f"runuser -u www-data -- touch /var/log/{server.unit}/other").rc != 0
    assert host.run(f"runuser -u {server['mlflow_user']} -- ls /var/log/{server.unit}").rc != 0
