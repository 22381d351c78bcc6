"""The sandboxes of nginx's units, and that nginx works in them."""

from __future__ import annotations

import operator
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.artifacts import API
from tests.harness.sandbox import CLOSED, SANDBOX, exposure, shown

# The capabilities that nginx's master process needs as root, with the kernel's numbers (linux/capability.h).
CAPABILITIES = {
    "cap_chown": 0,
    "cap_dac_override": 1,
    "cap_kill": 5,
    "cap_setgid": 6,
    "cap_setuid": 7,
    "cap_net_bind_service": 10,
}


def test_sandbox_of_nginx_is_exactly_this(server: Any, host: Any) -> None:
    """It can write its logs, its temporary files, /run and the volume; it has the privileges that it needs, and no others."""
    names = {*SANDBOX, "CapabilityBoundingSet", "RestrictAddressFamilies", "ReadWritePaths", "UMask"}
    found = shown(host, "nginx.service", names)
    assert set(found.pop("CapabilityBoundingSet").split()) == set(CAPABILITIES)
    assert set(found.pop("RestrictAddressFamilies").split()) == {"AF_UNIX", "AF_INET", "AF_INET6"}
    writes = {"/run", "/var/lib/nginx", "/var/log/nginx", f"/var/log/{server.unit}", f"-{server['mlflow_volume_path']}"}
    assert set(found.pop("ReadWritePaths").split()) == writes
    assert found == SANDBOX | {"UMask": "0027"}


def test_sandbox_of_the_second_nginx_is_exactly_this(server: Any, host: Any) -> None:
    """It can write only the volume, and has no privilege and no network."""
    more = {"User": "www-data", "ReadWritePaths": server["mlflow_volume_path"], "UMask": "0007"}
    assert shown(host, f"{server.unit}-uploads.service", {*CLOSED, *more}) == CLOSED | more


@pytest.mark.parametrize(
    ("unit", "limit"),
    [
        ("nginx", 2.5),
        ("{unit}-uploads", 0.5),
        ("{unit}-access", 1.5),
        ("{unit}-certificates", 1.5),
        ("{unit}-notify@x", 4.5),
    ],
)
def test_exposure(server: Any, host: Any, unit: str, limit: float) -> None:
    """systemd-analyze rates each unit of nginx at this value, or better."""
    assert exposure(host, f"{unit.format(unit=server.unit)}.service") <= limit


@pytest.mark.parametrize(("unit", "percent"), [("nginx", 10), ("{unit}-uploads", 10)])
def test_memory_has_an_end(server: Any, host: Any, unit: str, percent: int) -> None:
    """Neither nginx can use up PostgreSQL's memory, and a process that is killed for it is the only one."""
    ram = int(host.check_output("awk '/^MemTotal/ {print $2}' /proc/meminfo")) * 1024
    found = shown(host, f"{unit.format(unit=server.unit)}.service", {"MemoryHigh", "MemoryMax", "OOMPolicy"})
    assert found["OOMPolicy"] == "continue"
    assert 0 < int(found["MemoryHigh"]) < int(found["MemoryMax"]) <= ram * percent / 100 * 1.01


def test_nginx_keeps_no_more_privileges_than_it_names(host: Any) -> None:
    """As the kernel reports it: the master process has those, the workers have none."""
    main = host.check_output("cat /run/nginx.pid")
    # In one command: a worker that an earlier reload has replaced may end in between.
    statuses = "for pid in $(pgrep --parent %s); do cat /proc/$pid/status; done"
    found = [host.check_output("cat /proc/%s/status", main), *host.run(statuses, main).stdout.split("Name:")[1:]]
    needed = sum(1 << number for number in CAPABILITIES.values())
    assert len(found) > 1
    for text, wanted in zip(found, [needed, *[0] * (len(found) - 1)], strict=True):
        status = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        assert int(status["CapEff"], 16) == wanted
        assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")


def modes(host: Any, paths: list[str]) -> dict[str, str]:
    """Owner, group and mode by path."""
    lines = host.check_output(f"stat --format '%n %U:%G %a' {' '.join(paths)}").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def sizes(host: Any, paths: list[str]) -> list[int]:
    """Sizes of files."""
    return [int(size) for size in host.check_output(f"stat --format %s {' '.join(paths)}").split()]


WAYS = {
    "as they are": "true",
    "deleted, started again": "rm {own} && systemctl restart nginx.service",
    "deleted, read again": "rm {own} && systemctl reload nginx.service",
    "readable by all, read again": "chmod 644 {own} && systemctl reload nginx.service",
    "rotated": "logrotate --force /etc/logrotate.d/{unit}-audit && logrotate --force /etc/logrotate.d/nginx",
    "rotated twice": "logrotate --force /etc/logrotate.d/{unit}-audit && logrotate --force /etc/logrotate.d/nginx",
}


@pytest.mark.parametrize("way", WAYS)
def test_nobody_else_reads_the_logs(server: Any, host: Any, http: Any, anonymous: Any, way: str) -> None:
    """After any change of the files: nginx's user can write them, the group adm can read them, and nginx still writes."""
    own = [f"/var/log/{server.unit}/audit.log", f"/var/log/nginx/{server.unit}-login.log"]
    host.check_output(WAYS[way].format(own=" ".join(own), unit=server.unit))
    time.sleep(1)
    before = sizes(host, own)
    assert http.post(f"{server.url}/api/2.0/mlflow/experiments/set-experiment-tag", json={}).status_code == 400
    anonymous.auth = ("nobody", uuid.uuid4().hex)
    assert anonymous.get(server.url).status_code == 401
    deadline = time.monotonic() + 5
    while not all(map(operator.lt, before, sizes(host, own))) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert all(map(operator.lt, before, sizes(host, own)))
    logs = [*own, "/var/log/nginx/access.log", "/var/log/nginx/error.log"]
    assert modes(host, logs) == dict.fromkeys(logs, "www-data:adm 640")
    assert host.check_output(f"find /var/log/{server.unit} /var/log/nginx -type f -perm /o+rwx") == ""


@pytest.fixture
def mounted(server: Any, host: Any, http: Any, root: str) -> Iterator[str]:
    """The address of a directory in the store where a file system is mounted while nginx runs."""
    volume, below = server["mlflow_volume_path"], root.removeprefix(server.url + API)
    place = f"{volume}/store{below}/disk"
    assert http.put(f"{root}/file", data=b"makes the directories above").ok
    owner = f"--owner={server['mlflow_user']} --group={server.unit}-artifacts --mode=2770"
    host.check_output(f"install --directory {owner} {place} {volume}/other-disk")
    host.check_output(f"mount --bind {volume}/other-disk {place}")
    yield f"{root}/disk"
    host.check_output(f"umount {place} && rm --recursive {volume}/other-disk")


def test_what_is_mounted_later_is_seen_and_written(server: Any, host: Any, http: Any, mounted: str) -> None:
    """Without a restart, nginx reads and writes on a file system that is mounted later, and creates directories there."""
    for size in (1, 2_000_000):
        assert http.put(f"{mounted}/new/{size}", data=b"x" * size).ok
        assert len(http.get(f"{mounted}/new/{size}").content) == size
    folder = f"{server['mlflow_volume_path']}/other-disk/new"
    assert modes(host, [folder, f"{folder}/1"]) == {
        folder: f"www-data:{server.unit}-artifacts 2770",
        f"{folder}/1": f"www-data:{server.unit}-artifacts 660",
    }


def wait_active(host: Any, unit: str) -> None:
    """Wait until a unit has been running for longer than a failed start takes."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if host.run(f"systemctl is-active {unit}").stdout.strip() == "active":
            time.sleep(1)
            if host.run(f"systemctl is-active {unit}").stdout.strip() == "active":
                return
        time.sleep(0.5)
    pytest.fail(f"{unit} does not run")


@pytest.fixture
def without_volume(server: Any, host: Any) -> Iterator[str]:
    """Yields the volume's path while an empty directory replaces it; the volume itself is at /srv/aside."""
    volume = server["mlflow_volume_path"]
    count = f"awk '$5 == \"{volume}\"' /proc/self/mountinfo | wc --lines"
    before = host.check_output(count)
    host.check_output("install --directory /srv/empty /srv/aside")
    # Private: what is mounted over the one would be over the other, too.
    host.check_output(f"mount --bind {volume} /srv/aside && mount --make-private /srv/aside")
    host.check_output(f"mount --bind /srv/empty {volume}")
    yield volume
    # Periodic checks of the volume keep it busy for a moment.
    for _ in range(100):
        if host.check_output(count) == before:
            break
        host.run(f"umount {volume} || sleep 0.2")
    assert host.check_output(count) == before
    host.check_output("umount /srv/aside && rmdir /srv/aside && rm --recursive /srv/empty")
    # In their sandboxes something was mounted over the volume as well.
    host.check_output(f"systemctl restart nginx.service {server.unit}.service")
    host.check_output(f"systemctl try-restart {server.unit}-asgi.service")


def test_nginx_answers_without_the_volume(server: Any, host: Any, http: Any, root: str, without_volume: str) -> None:
    """It starts without the volume, and uses it as soon as it is mounted."""
    host.check_output("systemctl restart nginx.service")
    assert http.get(f"{server.url}/version").status_code == 200
    host.check_output(f"mount --bind /srv/aside {without_volume}")
    # The second nginx is tried again until it finds the volume.
    wait_active(host, f"{server.unit}-uploads.service")
    for size in (1, 2_000_000):
        assert http.put(f"{root}/new/{size}", data=b"x" * size).ok
        assert len(http.get(f"{root}/new/{size}").content) == size
        assert host.file(f"{without_volume}/store{root.removeprefix(server.url + API)}/new/{size}").user == "www-data"


def test_a_killed_nginx_comes_back(server: Any, host: Any, http: Any) -> None:
    """systemd restarts it, although the killed process left files behind."""
    assert http.get(f"{server.url}/version").status_code == 200
    host.check_output("systemctl kill --signal=KILL nginx.service")
    wait_active(host, "nginx.service")
    http.close()
    assert http.get(f"{server.url}/version").status_code == 200
