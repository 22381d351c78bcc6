"""An attacker who controls MLflow plants links in the artifact volume, and mlflowctl, as root, follows none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

LOG = """
import mlflow
from mlflow import MlflowClient
client = MlflowClient()
experiment = mlflow.set_experiment("links").experiment_id
run = client.create_run(experiment).info.run_id
client.log_text(run, "kept", "folder/file.txt")
print(experiment, run)
"""
# In the units' sandbox /etc is read-only; the state directory is writable, and root owns it, too.
OUTSIDE = "/var/lib/mlflow-backup/outside"
DESCRIBE = "find /etc/profile.d /etc/cron.d /etc/mlflow %s -printf '%%p %%u %%g %%m %%s %%l\n' | sort"
UNITS = ("mlflow-orphans.service", "mlflow-leftovers.service")


@pytest.fixture
def store(server: Any) -> str:
    """The store's directory."""
    return f"{server['mlflow_volume_path']}/store"


@pytest.fixture(autouse=True)
def outside(host: Any) -> Iterator[str]:
    """A directory that no operation may touch: readable for everybody, and writable for root."""
    host.check_output("mkdir -m 0755 %s && echo theirs > %s/victim && mkdir %s/folder", OUTSIDE, OUTSIDE, OUTSIDE)
    before = host.check_output(DESCRIBE, OUTSIDE)
    yield OUTSIDE
    after = host.check_output(DESCRIBE, OUTSIDE)
    host.check_output("rm -r %s", OUTSIDE)
    assert after == before


def as_mlflow(host: Any, script: str, *words: str) -> str:
    """Run a command as the service's account, with the group of its unit."""
    group = host.check_output("stat --format=%G /var/lib/mlflow/artifacts/store")
    user = f"runuser -u mlflow -g mlflow -G {group} --"
    return str(host.check_output(user + " sh -euc %s plant " + "%s " * len(words), script, *words))


@pytest.fixture
def aside(control: Any, host: Any, http: Any, server: Any, store: str) -> tuple[str, str]:
    """A file without a row, set aside: its directory in the store, and the suffix."""
    name = f"planted-{time.time_ns()}"
    assert http.put(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{name}/deep/file.sh", data=b"kept").ok
    host.check_output("touch -d '8 days ago' %s/%s/deep/file.sh", store, name)
    return f"{store}/{name}", control.run("orphans quarantine")["suffix"]


@pytest.mark.parametrize("to", ["/etc/profile.d", OUTSIDE])
@pytest.mark.parametrize("planted", ["", "/deep"])
def test_a_file_is_only_moved_back_to_its_own_directory(
    control: Any, host: Any, aside: tuple[str, str], planted: str, to: str
) -> None:
    """A link that has replaced the directory between the two commands is reported; the file stays until it is removed."""
    root, suffix = aside
    as_mlflow(host, 'rm -r "$1$2"; ln -s "$3" "$1$2"', root, planted, to)
    message = control.run(f"leftovers put-back {suffix}", expect=1)["error"]
    assert f"{root}{planted} is a link" in message
    assert suffix in [entry["suffix"] for entry in control.run("leftovers list")]
    as_mlflow(host, 'rm "$1$2"', root, planted)
    assert control.run(f"leftovers put-back {suffix}")["came_back"] == 1
    assert host.file(f"{root}/deep/file.sh").content_string == "kept"


def test_a_race_is_not_won(control: Any, host: Any, aside: tuple[str, str], store: str) -> None:
    """A directory that alternates with a link, while files are moved back into it and set aside from it."""
    root, suffix = aside
    volume = store.rpartition("/")[0]
    host.check_output("cd %s/store.orphans-%s/*/deep && for i in $(seq 200); do echo kept > $i; done", volume, suffix)
    flip = f'timeout 20 sh -c "while :; do mv -T $1/deep $1/was; ln -s {OUTSIDE} $1/deep; rm $1/deep; mv -T $1/was $1/deep; done"'
    script = "systemd-run --quiet --collect --unit=flipper --uid=mlflow --gid=www-data -- sh -c %s flip %s"
    as_mlflow(host, 'mkdir -p "$1/deep"', root)
    host.check_output(script, flip, root)
    try:
        for _ in range(3):
            host.run(f"mlflowctl leftovers put-back {suffix} --json")
            host.run("mlflowctl orphans quarantine --older-than 0s --json")
    finally:
        host.run("systemctl stop flipper.service")
    found = host.check_output("find %s -path '*/deep/*' -o -path '*/was/*' | grep -c -e /file.sh -e '/[0-9]*$'", volume)
    assert int(found) >= 201


def test_a_run_comes_back_through_no_link(control: Any, host: Any, client: Any, store: str) -> None:
    """Neither from elsewhere nor to elsewhere, and nothing there is set aside."""
    experiment, run = client("-c", LOG).split()[-2:]
    point = control.run("backup")["point"]
    place = f"{store}/{experiment}/{run}/artifacts"
    for planted in (place, f"{place}/folder"):
        as_mlflow(host, 'mv "$1" "$1.was"; ln -s "$2" "$1"', planted, OUTSIDE)
        for options in ("", "--replace-live") if planted == place else ("",):
            done = host.run(f"mlflowctl restore {point} --run {run} {options} --json")
            assert (done.rc, "is a link" in done.stdout) == ((0, False) if options else (1, True)), done.stdout
        as_mlflow(host, 'rm -rf "$1"; mv "$1.was" "$1"', planted)
    as_mlflow(host, 'mv "$1" "$1.was"; ln -s "$2" "$1"', f"{store}/{experiment}/{run}", OUTSIDE)
    for options in ("", "--replace-live"):
        assert "is a link" in control.run(f"restore {point} --run {run} {options}", expect=1)["error"]
    as_mlflow(host, 'rm "$1"; mv "$1.was" "$1"', f"{store}/{experiment}/{run}")
    as_mlflow(host, 'rm "$1/folder/file.txt"', place)
    assert control.run(f"restore {point} --run {run}")["came_back"] == 1
    for suffix in control.run("leftovers list"):
        control.run(f"leftovers delete {suffix['suffix']}")


def test_only_what_was_set_aside_is_deleted(control: Any, host: Any, aside: tuple[str, str], store: str) -> None:
    """Links in it are deleted without their targets."""
    _, suffix = aside
    volume = store.rpartition("/")[0]
    host.check_output("ln -s %s %s/store.orphans-%s/link", OUTSIDE, volume, suffix)
    control.run(f"leftovers delete {suffix}")
    assert not host.file(f"{volume}/store.orphans-{suffix}").exists


def test_the_volume_itself_is_roots(host: Any, server: Any) -> None:
    """So the account cannot replace the store, a copy, or what was set aside by a link."""
    volume = server["mlflow_volume_path"]
    found = host.file(volume)
    assert (found.user, found.group, found.mode) == ("root", "root", 0o711)
    for attempt in ("mv store other", "ln -s / restore-x", "mkdir drill", "rm -f .volume-id", "rmdir incoming"):
        assert host.run("runuser -u mlflow -- sh -c %s", f"cd {volume} && {attempt}").rc != 0, attempt


@pytest.mark.parametrize("unit", UNITS)
def test_files_are_moved_in_a_sandbox(host: Any, server: Any, unit: str) -> None:
    """Only the volume and the state are writable, and the request is read from root's own directory."""
    names = "ProtectSystem,ReadWritePaths,CapabilityBoundingSet,NoNewPrivileges,PrivateNetwork,PrivateDevices"
    shown = dict(line.split("=", 1) for line in host.check_output(f"systemctl show -p {names} {unit}").splitlines())
    assert shown.pop("ReadWritePaths").split()[:2] == [server["mlflow_volume_path"], "/var/lib/mlflow-backup"]
    capabilities = set(shown.pop("CapabilityBoundingSet").split())
    assert capabilities <= {"cap_chown", "cap_dac_override", "cap_dac_read_search", "cap_fowner", "cap_fsetid"}
    assert shown == {
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "PrivateNetwork": "yes",
        "PrivateDevices": "yes",
    }
    state = host.file("/var/lib/mlflow-backup")
    assert (state.user, state.mode) == ("root", 0o711)
