"""Uploads are refused before the volume is full, so that PostgreSQL on the same disk can write."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

# No volume has so many MiB.
ALL = 10**9


@pytest.fixture
def address(server: Any, http: Any) -> str:
    """URL of an existing artifact."""
    address = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/{uuid.uuid4().hex}/artifacts/file"
    assert http.put(address, data=b"before").ok
    return address


@pytest.fixture
def no_room(server: Any, host: Any, http: Any, address: str) -> Iterator[None]:
    """Sets the reserve to more than the whole volume."""
    unit = f"{server.unit}.service"
    directory, settings = f"/run/systemd/system/{unit}.d", f"/run/{server.unit}-no-room.env"
    host.check_output(f"mkdir --parents {directory} && echo MLFLOW_VOLUME_RESERVE_MIB={ALL} > {settings}")
    host.check_output(f"printf '[Service]\\nEnvironmentFile={settings}\\n' > {directory}/no-room.conf")
    host.check_output(f"systemctl daemon-reload && systemctl restart {unit}")
    for _ in range(100):
        if http.put(address + "-probe", data=b"1").status_code == 507:
            break
        time.sleep(0.1)
    yield
    host.check_output(f"rm {directory}/no-room.conf {settings} && systemctl daemon-reload")
    host.check_output(f"systemctl restart {unit}")


@pytest.mark.usefixtures("no_room")
def test_uploads_are_refused_and_all_else_goes_on(
    server: Any, host: Any, http: Any, anonymous: Any, address: str
) -> None:
    """Small ones, large ones and those that MLflow would write; without a login the reason is not shown. Deletions continue."""
    # MLflow writes the second name, nginx the first.
    for target in (address, address.replace("file", "a%24b"), address.replace("/api/", "/ajax-api/")):
        for size in (1, 2_000_000):
            answer = http.put(target, data=b"x" * size)
            assert (answer.status_code, answer.json()["error_code"]) == (507, "RESOURCE_EXHAUSTED")
    page = f"{server.url}/ajax-api/2.0/mlflow/upload-artifact?run_uuid={uuid.uuid4().hex}&path=x"
    assert http.post(page, data=b"x").status_code == 507
    assert anonymous.put(address, data=b"x").status_code == 401
    assert "uploads are refused" in host.check_output(f"journalctl --unit {server.unit}.service -n 50 --no-pager")
    assert "uploads are refused" in host.run("mlflowctl status --json").stdout

    assert http.get(address).content == b"before"
    run = http.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"})
    assert run.status_code == 200
    assert http.delete(address).status_code == 200


def test_with_room_they_are_accepted_again(server: Any, host: Any, http: Any, address: str) -> None:
    """A leftover mark, as of a killed worker, is removed within seconds."""
    host.check_output(f"touch /run/{server.unit}-service/volume-is-full")
    for _ in range(100):
        if http.put(address, data=b"after").ok:
            break
        time.sleep(0.1)
    assert http.get(address).content == b"after"
