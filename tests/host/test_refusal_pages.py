"""nginx's own answers when something behind it fails: in the form of MLflow's, and for a browser as a page."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.harness.artifacts import API
from tests.harness.ready import wait_for, wait_until_ready

PAGE = {"Accept": "text/html,application/xhtml+xml"}
# nginx may pass requests that change nothing to another worker; this one must not be repeated.
CREATE = "/api/2.0/mlflow/runs/create"


def check_refusal(answer: requests.Response, status: int, code: str) -> None:
    """A refusal with this code, in the requested form, without a path of the host."""
    assert answer.status_code == status, answer.text[:300]
    browser = "html" in str(answer.request.headers["Accept"])
    assert answer.headers["Content-Type"].startswith("text/html" if browser else "application/json")
    assert code == (answer.text.partition("<h1>")[2].partition("</h1>")[0] if browser else answer.json()["error_code"])
    assert not any(place in answer.text for place in ("/run/", "/var/", "/opt/", "/srv/", "Traceback"))


@pytest.fixture
def _locked(server: Any, host: Any, http: Any) -> Iterator[None]:
    """Lock the experiments, so that MLflow works on each request until the lock is released."""
    unit = f"lock-of-{server.unit}"
    sql = "BEGIN; LOCK TABLE experiments; SELECT pg_sleep(60)"
    host.check_output(f"systemd-run --collect --unit={unit} psql -U postgres -d {server['mlflow_database']} -c '{sql}'")
    try:
        wait_for(lambda: counts(host, "pg_stat_activity WHERE wait_event = 'PgSleep'"), "the table is not locked")
        yield
    finally:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        host.check_output(f'psql -U postgres -Atc "{query}"')
        wait_until_ready(http, server)


def workers(server: Any, host: Any) -> list[str]:
    """Processes that work on requests."""
    main = host.check_output(f"systemctl show --property=MainPID --value {server.unit}.service")
    return str(host.check_output(f"pgrep --parent {main}")).split()


def counts(host: Any, what: str) -> int:
    """Rows of one of PostgreSQL's own views."""
    return int(host.check_output(f'psql -U postgres -Atc "SELECT count(*) FROM {what}"'))


@pytest.mark.usefixtures("_locked")
@pytest.mark.parametrize("headers", [{}, PAGE], ids=["client", "browser"])
def test_mlflow_dies_over_a_request(server: Any, host: Any, http: Any, headers: dict[str, str]) -> None:
    """nginx's 502 is a 503 to clients, which do not repeat it by themselves if it creates something."""
    with ThreadPoolExecutor() as pool:
        head = {"Accept": "*/*"} | headers
        asked = pool.submit(http.post, server.url + CREATE, json={"experiment_id": "0"}, headers=head, timeout=60)
        waits = f"pg_stat_activity WHERE datname = '{server['mlflow_database']}' AND wait_event = 'relation'"
        wait_for(lambda: counts(host, waits), "no request waits for the lock")
        host.check_output(f"kill -9 {' '.join(workers(server, host))}")
        answer = asked.result()
    check_refusal(answer, 503, "TEMPORARILY_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("headers", [{}, PAGE], ids=["client", "browser"])
@pytest.mark.parametrize("size", [1, 2_000_000])
def test_nginx_cannot_write(server: Any, host: Any, http: Any, headers: dict[str, str], size: int) -> None:
    """A small upload, and one that the second nginx writes, where the directory for uploads is not writable."""
    incoming = f"{server['mlflow_volume_path']}/incoming"
    address = f"{server.url}{API}/0/{uuid.uuid4().hex}/artifacts/file"
    host.check_output(f"chmod u-w {incoming}")
    try:
        answer = http.put(address, data=b"x" * size, headers={"Accept": "*/*"} | headers)
    finally:
        host.check_output(f"chmod u+w {incoming}")
    check_refusal(answer, 500, "INTERNAL_ERROR")
    assert http.get(address).status_code == 404
