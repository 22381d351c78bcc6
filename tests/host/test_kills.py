"""Every process that is killed is restarted, and the server recovers without intervention."""

from __future__ import annotations

import time
from typing import Any

import pytest

# Seconds until everything must answer again: a limit for hangs, not a promise.
SECONDS = 90
ALL = ("{unit}.service", "{unit}-asgi.service", "nginx.service", "{unit}-login.service", "{unit}-uploads.service")


def name(host: Any, server: Any, unit: str) -> str:
    """The unit's name on this host."""
    if unit == "postgresql":
        return str(host.check_output("systemctl list-units --plain --no-legend 'postgresql@*' | cut -d' ' -f1"))
    return unit.format(unit=server.unit)


def main_process(host: Any, unit: str) -> str:
    """Its main PID; 0 if there is none."""
    return str(host.check_output("systemctl show --property=MainPID --value %s", unit))


def answers(http: Any, server: Any) -> list[int]:
    """Requests to every process: REST with the database, ASGI, a large upload."""
    try:
        return [
            http.get(f"{server.url}/ready", timeout=20).status_code,
            http.get(f"{server.url}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=20).status_code,
            http.get(f"{server.url}/gateway/mlflow/v1/models", timeout=20).status_code,
            http.put(
                f"{server.url}/api/2.0/mlflow-artifacts/artifacts/kills/file", data=bytes(2 << 20), timeout=20
            ).status_code
            // 100
            * 100,
        ]
    except OSError as error:  # requests' own errors are such
        return [-1, hash(type(error))]


def wait(http: Any, server: Any, host: Any, unit: str, gone: str) -> None:
    """Wait until all of them are answered, and the unit runs with a new main process."""
    deadline = time.monotonic() + SECONDS
    found: object = None
    while time.monotonic() < deadline:
        found = (answers(http, server), host.run("systemctl is-active %s", unit).stdout.strip())
        if found == ([200, 200, 200, 200], "active") and main_process(host, unit) not in ("0", gone):
            return
        time.sleep(1)
    raise AssertionError(f"{unit} does not come back in {SECONDS} s: {found}")


@pytest.fixture(autouse=True)
def counted_anew(host: Any) -> None:
    """Reset systemd's start limit, which successive tests would reach."""
    host.run("systemctl reset-failed")


@pytest.mark.parametrize("unit", ["postgresql", *ALL])
def test_a_killed_first_process_comes_back(host: Any, http: Any, server: Any, unit: str) -> None:
    """kill -9 of the process that systemd has started: gunicorn's or nginx's master, PostgreSQL's postmaster."""
    wait(http, server, host, name(host, server, unit), "")
    unit = name(host, server, unit)
    pid = main_process(host, unit)
    host.check_output("kill -9 %s", pid)
    wait(http, server, host, unit, pid)


@pytest.mark.parametrize("unit", ["postgresql", "{unit}.service", "{unit}-asgi.service", "nginx.service"])
def test_killed_workers_come_back(host: Any, http: Any, server: Any, unit: str) -> None:
    """kill -9 of all children of the main process: workers, or PostgreSQL's backends and helpers."""
    unit = name(host, server, unit)
    wait(http, server, host, unit, "")
    pid = main_process(host, unit)
    workers = host.check_output("pgrep --parent %s", pid).split()
    assert workers
    host.check_output(f"kill -9 {' '.join(workers)}")
    wait(http, server, host, unit, "")
    assert not {*workers} & {*host.check_output("pgrep --parent %s", main_process(host, unit)).split()}


@pytest.mark.parametrize("unit", ["postgresql", *ALL])
def test_a_unit_that_is_killed_as_a_whole_comes_back(host: Any, http: Any, server: Any, unit: str) -> None:
    """kill -9 of every process of a unit at once, as the kernel does when a unit is out of memory."""
    unit = name(host, server, unit)
    wait(http, server, host, unit, "")
    pid = main_process(host, unit)
    host.check_output("systemctl kill --kill-whom=all --signal=KILL %s", unit)
    wait(http, server, host, unit, pid)


def test_a_cluster_that_is_stopped_stays_down(host: Any, http: Any, server: Any) -> None:
    """PostgreSQL is not restarted if it was stopped through systemd or with Debian's own command."""
    unit = name(host, server, "postgresql")
    version, _, cluster = unit.removeprefix("postgresql@").removesuffix(".service").partition("-")
    try:
        host.check_output("pg_ctlcluster %s %s stop", version, cluster)
        time.sleep(5)
        assert host.run("systemctl is-active %s", unit).stdout.strip() == "inactive"
    finally:
        host.check_output("systemctl start %s", unit)
    wait(http, server, host, unit, "")
