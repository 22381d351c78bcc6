"""PostgreSQL runs what was computed for this host, and MLflow's pools fit into it."""

from __future__ import annotations

from typing import Any

import pytest


def setting(host: Any, name: str) -> str:
    """A setting of the running server."""
    return str(host.check_output(f"psql -U postgres -Atc 'SHOW {name}'"))


def test_pools_fit(server: Any, host: Any) -> None:
    """The number of workers follows from the host's size, and max_connections covers every pool of every process."""
    cores = int(host.check_output("nproc"))
    mib = int(host.check_output("awk '/^MemTotal/{print $2}' /proc/meminfo")) // 1024
    workers = server["mlflow_workers"] or max(min(cores, mib // 512, 16), 2)
    one_of_each_that_leaves = 2
    processes = workers + server["mlflow_asgi_workers"] + one_of_each_that_leaves
    pool = server["mlflow_database_pool_size"] + server["mlflow_database_pool_overflow"]
    assert (
        int(setting(host, "max_connections")) == processes * 3 * pool + server["mlflow_postgres_reserved_connections"]
    )
    main = host.check_output("systemctl show -p MainPID --value %s.service", server["mlflow_unit"])
    assert len(host.check_output(f"pgrep --parent {main}").split()) == workers


def test_sized_from_the_host(server: Any, host: Any) -> None:
    """Shared buffers are a quarter of the planned share of this host's memory."""
    kib = int(host.check_output("awk '/^MemTotal/{print $2}' /proc/meminfo"))
    planned = kib // 1024 * server["mlflow_postgres_memory_percent"] // 100
    buffers = int(
        host.check_output(
            "psql -U postgres -Atc \"SELECT setting::int * 8 / 1024 FROM pg_settings WHERE name = 'shared_buffers'\""
        )
    )
    assert abs(buffers - min(max(planned // 4, 128), 8192)) <= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen_addresses", ""),
        ("synchronous_commit", "on"),
        ("jit", "off"),
        ("parallel_setup_cost", "10000"),
        ("autovacuum_analyze_scale_factor", "0.02"),
        ("autovacuum_vacuum_insert_scale_factor", "0.05"),
    ],
)
def test_settings_in_force(server: Any, host: Any, name: str, value: str) -> None:
    """The settings are in effect, not only written."""
    assert setting(host, name) == value


def test_the_database_goes_before_its_clients(server: Any, host: Any) -> None:
    """The processor weight is in effect, for PostgreSQL's slice."""
    unit = host.check_output(
        "systemctl list-units --plain --no-legend --state running 'postgresql@*' | cut -d ' ' -f 1"
    )
    slice_ = host.check_output(f"systemctl show --property Slice --value {unit}")
    shown = host.check_output(f"systemctl show --property CPUWeight,NeedDaemonReload {slice_}")
    assert set(shown.splitlines()) == {"CPUWeight=300", "NeedDaemonReload=no"}


def test_further_settings_win(server: Any, host: Any) -> None:
    """mlflow_postgres_settings are written last and override the computed ones."""
    for name, value in server["mlflow_postgres_settings"].items():
        assert setting(host, name) == value


def test_the_database_speaks_utf8(server: Any, host: Any) -> None:
    """The database is UTF-8 whatever the host's locale."""
    query = f"SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = '{server['mlflow_database']}'"
    assert host.check_output(f'psql -U postgres -Atc "{query}"') == "UTF8|C.UTF-8"


def test_managed_files_have_a_header(server: Any, host: Any) -> None:
    """A file of ours on the host says that it will be overwritten."""
    for path in (
        f"{server['mlflow_config_path']}/mlflow.env",
        f"/etc/systemd/system/{server.unit}.service",
        f"/etc/nginx/conf.d/{server.unit}.conf",
        "/etc/postgresql/*/main/conf.d/mlflow.conf",
    ):
        assert "Ansible managed" in host.check_output(f"head -n 3 {path}"), path
