"""The service survives restarts and outages, and refuses a wrong database or volume."""

from __future__ import annotations

import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

# Not cached by nginx, unlike /health and /version.
ANSWERED_BY_MLFLOW = "/api/2.0/mlflow/experiments/get?experiment_id=0"


def ready(server: Any, http: Any, seconds: int = 60) -> bool:
    """Whether /ready answers 200 within ``seconds``."""
    for _ in range(seconds):
        if http.get(server.url + "/ready").status_code == 200:
            return True
        time.sleep(1)
    return False


def test_ready_checks_database_and_volume(server: Any, http: Any) -> None:
    """/ready lists its checks."""
    answer = http.get(server.url + "/ready")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "checks": {"database": "ok", "volume": "ok"}}


def test_a_restart_refuses_no_request(server: Any, host: Any, http: Any) -> None:
    """While MLflow restarts, connections wait in the socket: no request fails."""
    codes: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            codes.append(http.get(server.url + ANSWERED_BY_MLFLOW).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        assert host.run(f"systemctl restart {server.unit}.service").rc == 0
        assert ready(server, http)
    finally:
        stop.set()
        thread.join()
    assert set(codes) == {200}


def test_a_refusal_harms_no_later_request(server: Any, http: Any) -> None:
    """MLflow refuses a name without reading the body; the next request on the same connection is answered as always."""

    def refused_then_accepted(number: int) -> set[tuple[str, int]]:
        directory = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/{uuid.uuid4().hex}"
        return {(name, http.put(f"{directory}/{name}", data=b"content").status_code) for name in ("a%23b", "a%24b")}

    with ThreadPoolExecutor(6) as clients:
        answers = set().union(*clients.map(refused_then_accepted, range(1000)))
    assert answers == {("a%23b", 400), ("a%24b", 200)}


def test_database_outage_is_reported_and_survived(server: Any, host: Any, http: Any) -> None:
    """Without its database the server answers 503 with a reason, and recovers by itself."""

    def answers() -> set[int]:
        # Concurrently, so that every process has connections in its pool.
        with ThreadPoolExecutor(8) as clients:
            return {*clients.map(lambda _: http.get(server.url + ANSWERED_BY_MLFLOW).status_code, range(80))}

    assert answers() == {200}
    cluster = host.check_output("systemctl list-units --plain --no-legend 'postgresql@*' | cut -d' ' -f1")
    assert host.run(f"systemctl stop {cluster}").rc == 0
    try:
        answer = http.get(server.url + "/ready")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        assert answer.json()["checks"] == {"database": "failed", "volume": "ok"}
    finally:
        assert host.run(f"systemctl start {cluster}").rc == 0
    assert ready(server, http)
    # Each closed connection is replaced before a request uses it.
    assert answers() == {200}
    assert host.service(f"{server.unit}.service").is_running


def test_a_foreign_schema_revision_is_refused(server: Any, host: Any, http: Any) -> None:
    """MLflow does not start on a database of another revision, and so cannot migrate it."""
    release = json.loads(host.file(f"{server['mlflow_root_path']}/current/release.json").content_string)
    database = server["mlflow_database"]

    def revision(value: str) -> None:
        query = f"UPDATE alembic_version SET version_num = '{value}'"
        assert host.run(f'psql -U postgres -d {database} -c "{query}"').rc == 0

    revision("1b5f0d9ad7c1")
    try:
        assert host.run(f"systemctl restart {server.unit}.service").rc != 0
        journal = host.check_output(f"journalctl --no-pager -n 40 -o cat -u {server.unit}.service")
        assert "refusing to start: the database has schema revision 1b5f0d9ad7c1" in journal
        found = host.check_output(f'psql -U postgres -d {database} -Atc "SELECT version_num FROM alembic_version"')
        assert found == "1b5f0d9ad7c1"
    finally:
        revision(release["schema_head"])
    assert ready(server, http)


def test_a_missing_or_wrong_volume_is_refused(server: Any, host: Any, http: Any) -> None:
    """MLflow does not start on a volume without its sentinel, nor on another server's."""
    sentinel = f"{server['mlflow_volume_path']}/.volume-id"
    host.check_output(f"cp -p {sentinel} /root/sentinel")
    try:
        for change, reason in (
            (f"rm {sentinel}", "is the artifact volume mounted?"),
            (f"echo other > {sentinel}", "mount the right volume"),
        ):
            host.check_output(change)
            assert http.get(server.url + "/ready").status_code == 503
            assert host.run(f"systemctl restart {server.unit}.service").rc != 0
            journal = host.check_output(f"journalctl --no-pager -n 40 -o cat -u {server.unit}.service")
            assert f"refusing to start: {server['mlflow_volume_path']}" in journal
            assert reason in journal
            host.check_output(f"cp -p /root/sentinel {sentinel}")
            assert ready(server, http)
    finally:
        host.check_output(f"cp -p /root/sentinel {sentinel}")
    assert ready(server, http)


def test_a_killed_nginx_comes_back(server: Any, host: Any, http: Any) -> None:
    """nginx starts again after a kill, although it left its socket behind."""
    pid = host.check_output("systemctl show -p MainPID --value nginx.service")
    host.check_output(f"pkill -9 -P {pid}; kill -9 {pid}")
    for _ in range(30):
        if host.service("nginx").is_running and host.run("systemctl is-active nginx").stdout.strip() == "active":
            break
        time.sleep(1)
    assert host.check_output("systemctl show -p MainPID --value nginx.service") not in ("0", pid)
    assert http.get(server.url + "/version").status_code == 200


def pss(host: Any, unit: str) -> float:
    """Proportional set size of all processes of a unit, in MB (10^6 bytes)."""
    main = host.check_output(f"systemctl show -p MainPID --value {unit}")
    kib = host.check_output(
        f"for p in {main} $(pgrep -P {main}); do awk '/^Pss:/{{s+=$2}} END{{print s}}' /proc/$p/smaps_rollup; done"
    )
    return sum(map(int, kib.split())) * 1024 / 1e6


@pytest.mark.parametrize(("with_asgi", "limit"), [(False, 350), (True, 600)])
def test_idle_memory(server: Any, host: Any, http: Any, with_asgi: bool, limit: int) -> None:
    """Idle, MLflow takes 350 MB without the ASGI unit and 600 MB with it."""
    assert host.run(f"systemctl restart {server.unit}.service").rc == 0
    assert ready(server, http)
    total = pss(host, f"{server.unit}.service")
    if with_asgi:
        assert http.get(server.url + "/gateway/mlflow/v1/models").status_code == 200
        total += pss(host, f"{server.unit}-asgi.service")
    print(f"{total:.0f} MB")
    assert total <= limit


def test_answers_hold_no_spaces_for_readers(server: Any, http: Any) -> None:
    """JSON has no indentation: less to encode and to send."""
    text = http.post(server.url + "/api/2.0/mlflow/experiments/search", json={"max_results": 10}).text
    assert text.startswith('{"experiments":[{"experiment_id":"')
    assert "\n" not in text


def test_a_thousand_latest_values_change_together(server: Any, http: Any) -> None:
    """One batch replaces older latest values, and keeps newer ones."""

    def log(metrics: list[tuple[int, float, int]]) -> None:
        named = [{"key": f"m{key}", "value": value, "timestamp": 1, "step": step} for key, value, step in metrics]
        assert http.post(f"{api}/runs/log-batch", json={"run_id": run, "metrics": named}).status_code == 200

    api = server.url + "/api/2.0/mlflow"
    run = http.post(f"{api}/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
    log([(key, key, 1) for key in range(1000)])
    log([(key, key + 0.5, 2) if key % 2 else (key, -1.0, 0) for key in range(1000)])
    found = http.get(f"{api}/runs/get", params={"run_id": run}).json()["run"]["data"]["metrics"]
    latest = {metric["key"]: metric["value"] for metric in found}
    assert latest == {f"m{key}": key + 0.5 if key % 2 else key for key in range(1000)}
