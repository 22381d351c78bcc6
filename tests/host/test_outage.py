"""While PostgreSQL is stopped the journal stays readable."""

from __future__ import annotations

from typing import Any

ASKED = 40


def test_an_outage_is_a_few_lines(server: Any, host: Any, http: Any) -> None:
    """One from each process, and one from each when the database is back, for any number of requests."""
    address = f"{server.url}/api/2.0/mlflow/experiments/get?experiment_id=0"
    # Every worker has opened its store.
    for _ in range(ASKED):
        assert http.get(address).ok
    start = host.check_output("date +%s.%N")
    host.check_output("systemctl stop 'postgresql@*.service'")
    try:
        answers = [http.get(address).status_code for _ in range(ASKED)]
        answers += [http.get(f"{server.url}/ready").status_code for _ in range(5)]
    finally:
        host.check_output("systemctl start postgresql.service 'postgresql@*.service' --all")
    assert set(answers) <= {429, 503}
    for _ in range(ASKED):
        assert http.get(address).ok
    read = f"journalctl --no-pager -o cat --since @{start} _SYSTEMD_UNIT={server.unit}.service"
    lines = host.check_output(read).splitlines()
    workers = int(host.check_output(f"grep -Po '^workers = \\K.*' {server['mlflow_config_path']}/gunicorn.conf.py"))
    away = [line for line in lines if "the database does not answer: " in line]
    back = [line for line in lines if "the database answers again, after " in line]
    assert 1 <= len(away) <= workers
    assert 1 <= len(back) <= workers
    assert not [line for line in lines if "Traceback" in line]
    assert len(lines) <= 2 * workers + 5
