"""A container that stands for a host starts on an engine with cgroup v2, too, which nearly every machine has."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "tests/harness/build-base-image"
# In separate namespaces: the kernel's v2 tree replaces the v1 trees, and an engine without a bridge
# removes the one that it finds.
ENGINE = """
umount --lazy /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
exec dockerd --host "unix://$1/socket" --data-root "$1/data" --exec-root "$1/run" --pidfile "$1/pid" \
    --exec-opt native.cgroupdriver=cgroupfs --bridge none --iptables=false
"""
SECONDS_TO_START = 60

Run = Callable[..., str]


def run(*command: str | Path, **environment: str) -> str:
    """Run a program of the project's folder; returns what it prints."""
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-5000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def version(**environment: str) -> str:
    """Version of the cgroups that an engine uses, ``1`` or ``2``; empty if no engine answers."""
    command = ["docker", "info", "--format", "{{.CgroupVersion}}"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture(scope="session")
def on_v2() -> Iterator[Run]:
    """Runs programs with an engine on cgroup v2: a second one if the machine's own uses v1."""
    if version() == "2":
        yield run
        return
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("wb") as log:
        address = f"unix://{folder}/socket"
        command = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", ENGINE, "engine", folder]
        engine = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            while version(DOCKER_HOST=address) != "2":
                assert engine.poll() is None, Path(folder, "log").read_text()[-3000:]
                assert time.monotonic() < deadline, Path(folder, "log").read_text()[-3000:]
                time.sleep(0.5)
            yield lambda *command: run(*command, DOCKER_HOST=address)
        finally:
            engine.terminate()
            engine.wait()


@pytest.fixture(params=["bookworm", "trixie"])
def host(request: pytest.FixtureRequest, on_v2: Run, tmp_path: Path) -> Iterator[str]:
    """The name of a container that tests/harness/start.yml started."""
    name, image = f"cgroups-{request.param}", tmp_path / "image.tar"
    run("docker", "save", "--output", image, run(BUILD, request.param).strip())
    on_v2("docker", "load", "--input", image)
    image.unlink()
    hosts = json.dumps({"test_hosts": [{"name": name, "suite": request.param}]})
    on_v2("docker", "rm", "--force", "--volumes", name)
    try:
        on_v2("ansible-playbook", "tests/harness/start.yml", "-i", "localhost,", "-e", hosts)
        yield name
    finally:
        on_v2("docker", "rm", "--force", "--volumes", name)


def test_systemd_has_the_cgroups_of_its_container(host: str, on_v2: Run) -> None:
    """systemd runs, may set processor weights, and sees only its own tree."""
    inside = ("docker", "exec", host)
    assert on_v2(*inside, "systemctl", "is-system-running") == "running\n"
    assert "0::/init.scope" in on_v2(*inside, "cat", "/proc/1/cgroup")
    on_v2(*inside, "systemd-run", "--wait", "--quiet", "--property=CPUWeight=idle", "true")
    folders = on_v2(*inside, "find", "/sys/fs/cgroup", "-maxdepth", "1", "-name", "*.s*", "-type", "d").split()
    assert sorted(folders) == ["/sys/fs/cgroup/init.scope", "/sys/fs/cgroup/system.slice"]
