"""Bad input is refused before the first change, by a message that names variable, value and fix."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.playbook import run_playbook
from tests.scenarios.refused.cases import CASES, GOOD
from tests.scenarios.refused.together import name, refuse

# One that needs no host, and one that checks it.
ALONE = [case for case in CASES if case[0] in ("unknown variable", "port held")]


@pytest.fixture(scope="module")
def prepared(host: Any) -> Any:
    """The host as some cases need it: a used port, another instance, unusual paths for a volume."""
    host.check_output("mkdir -p /mnt/read-only /etc/nginx/conf.d && touch /srv/a-file")
    host.check_output("mountpoint -q /mnt/read-only || mount -t tmpfs -o ro tmpfs /mnt/read-only")
    host.check_output("echo '# instance of mlflow: other port 443 ' > /etc/nginx/conf.d/other.conf")
    host.check_output("systemctl is-active -q held || systemd-run --unit held python3 -m http.server 7777")
    return host


def untouched(host: Any) -> str:
    """The users, packages and directories of the host that a run would change first."""
    return str(
        host.check_output(
            "getent passwd | sort; dpkg-query -W -f '${Package}\\n' | sort;"
            " find /opt /etc /srv /var/lib/mlflow /var/lib/postgresql -maxdepth 2 2>/dev/null | sort"
        )
    )


@pytest.fixture(scope="module")
def messages(prepared: Any, certificates: Path) -> dict[str, str]:
    """The messages of each case's host in one run of all; it changed nothing, and shows no password."""
    before = untouched(prepared)
    found, printed = refuse(prepared.ansible.get_variables(), CASES, certificates)
    assert untouched(prepared) == before
    for secret in (GOOD, "hunter2", "short-kek"):
        assert secret not in printed
    assert "argument_spec_data" not in printed
    return found


@pytest.mark.parametrize(
    ("host_name", "words"),
    [(name(number), case[2]) for number, case in enumerate(CASES)],
    ids=[case[0] for case in CASES],
)
def test_refused_before_the_first_change(messages: dict[str, str], host_name: str, words: list[str]) -> None:
    """The host fails, with a message that names variable, value and fix."""
    assert host_name in messages, "was not refused"
    for word in words:
        assert word in messages[host_name], f"{word!r} is not in: {messages[host_name][-3000:]}"


@pytest.mark.parametrize(("variables", "words"), [ALONE[0][1:], ALONE[1][1:]], ids=[ALONE[0][0], ALONE[1][0]])
def test_the_whole_playbook_refuses_the_same(prepared: Any, variables: dict[str, Any], words: list[str]) -> None:
    """With a variable on the command line, which overrides all others; before the first change."""
    before = untouched(prepared)
    done = run_playbook(variables)
    output = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode != 0, output[-3000:]
    for word in words:
        assert word in output, f"{word!r} is not in: {output[-3000:]}"
    assert untouched(prepared) == before


DEVICE = "/dev/loop-volume"


@pytest.fixture
def blank_device(prepared: Any) -> Iterator[Any]:
    """The host, whose loop device is blank before and after."""
    wipe = f"umount {DEVICE} 2>/dev/null; wipefs --quiet --all --force {DEVICE}"
    prepared.check_output(wipe)
    yield prepared
    prepared.check_output(wipe)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (f"mkfs.ext4 -q -F -L somebodys {DEVICE}", ["ext4,somebodys", "not blank", f"wipefs --all {DEVICE}"]),
        (f"mkswap {DEVICE}", ["swap,", "not blank"]),
        (f"mkfs.ext4 -q -F -L mlflow-store {DEVICE} && mount -o ro {DEVICE} /mnt", ["in use", "mounted at /mnt"]),
    ],
    ids=["another file system", "swap", "mounted elsewhere"],
)
def test_a_device_that_is_not_ours_is_refused(blank_device: Any, made: str, words: list[str]) -> None:
    """A device with content, or in use, is refused with what was found, and not a byte of it changes."""
    blank_device.check_output(made)
    before = blank_device.check_output(f"sha256sum {DEVICE}")
    done = run_playbook({"mlflow_volume_device": DEVICE}, arguments=("--tags", "check"))
    output = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode != 0, output[-3000:]
    for word in ["mlflow_volume_device", DEVICE, *words]:
        assert word in output, f"{word!r} is not in: {output[-3000:]}"
    assert blank_device.check_output(f"sha256sum {DEVICE}") == before


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("mlflow_public_url", "missing required arguments: mlflow_public_url"),
        ("mlflow_users", "mlflow_users: it is empty"),
    ],
)
def test_a_missing_variable_is_named(prepared: Any, tmp_path: Path, missing: str, words: str) -> None:
    """An inventory without a required variable fails, and names it."""
    given = prepared.ansible.get_variables()
    name = given["inventory_hostname"]
    kept = {
        key: value
        for key, value in given.items()
        if key.startswith(("mlflow_", "ansible_connection", "ansible_user")) and key != missing
    }
    groups: dict[str, Any] = {group: {"hosts": {name: {}}} for group in ("mlflow_db", "mlflow_nodes")}
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"all": {"vars": kept, "children": groups}}))
    done = run_playbook(arguments=("--tags", "check"), environment={"MOLECULE_INVENTORY_FILE": str(inventory)})
    output = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode != 0, output[-3000:]
    assert words in output, output[-3000:]


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ({"mlflow_db": ["db1"], "mlflow_nodes": ["node1"]}, ["mlflow_db db1, mlflow_nodes node1", "put the same name"]),
        ({"mlflow_db": ["one", "two"], "mlflow_nodes": ["one"]}, ["mlflow_db has 2 hosts", "exactly one"]),
        ({"mlflow_db": ["one"], "mlflow_nodes": ["one", "two"]}, ["mlflow_nodes has 2 hosts", "exactly one"]),
        ({"mlflow_db": ["one"], "mlflow_nodes": []}, ["mlflow_nodes has 0 hosts"]),
        (
            {"mlflow_db": ["one"], "mlflow_app": ["one"], "mlflow_proxy": ["one"]},
            ["mlflow_app is not known", "mlflow_proxy is not known"],
        ),
        (
            {"mlflow_db": ["one"], "mlflow_nodes": ["one"], "mlflow_app": ["two"]},
            ["mlflow_app is not known", "into mlflow_nodes"],
        ),
    ],
    ids=["two hosts", "two databases", "two nodes", "none", "old groups", "an old group"],
)
def test_other_layouts_are_refused(tmp_path: Path, layout: dict[str, list[str]], words: list[str]) -> None:
    """Before the first connection: no host of these exists."""
    children: dict[str, Any] = {group: {"hosts": {name: {} for name in names}} for group, names in layout.items()}
    inventory = tmp_path / "hosts.json"
    inventory.write_text(
        json.dumps({"all": {"vars": {"mlflow_public_url": "https://a.example"}, "children": children}})
    )
    done = run_playbook(arguments=("--tags", "check"), environment={"MOLECULE_INVENTORY_FILE": str(inventory)})
    output = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode != 0
    assert "UNREACHABLE" not in output
    for word in words:
        assert word in output, output[-2000:]


def test_unsupported_distribution(prepared: Any) -> None:
    """On another distribution the play stops and says which ones it supports."""
    release = prepared.check_output("cat /usr/lib/os-release")
    prepared.check_output(
        "sed -Ei 's/bookworm|trixie/buster/g' /usr/lib/os-release; rm -f /etc/nginx/conf.d/other.conf"
    )
    try:
        done = run_playbook(arguments=("--tags", "check"))
    finally:
        script = f"import pathlib; pathlib.Path('/usr/lib/os-release').write_text({release + chr(10)!r})"
        prepared.run_test("python3 -c %s", script)
    output = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode != 0
    assert "buster" in output
    assert "Use Debian 12 (bookworm) or Debian 13 (trixie)" in output


def test_nothing_wrong_passes(prepared: Any) -> None:
    """The same run without a mistake passes, so each case above fails because of its mistake."""
    prepared.check_output("rm -f /etc/nginx/conf.d/other.conf")
    done = run_playbook(arguments=("--tags", "check"))
    assert done.returncode == 0, done.stdout[-3000:]
