"""A point of a newer PostgreSQL than the host's is refused before anything is fetched, installed or changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.playbook import run_playbook

NAME = "newer-postgresql"
RESTIC = (
    "RESTIC_REPOSITORY=/var/backups/mlflow RESTIC_PASSWORD_FILE=/etc/mlflow/secrets/repository_local restic --quiet"
)
STAGE = "/var/lib/mlflow-backup/stage"


@pytest.fixture(scope="module")
def newer(control: Any, host: Any) -> Iterator[str]:
    """The name of a point whose description says PostgreSQL 99, with a dump that must not be read."""
    control.run("backup")
    kept = "/root/stage-kept"
    host.check_output(f"rm -rf {kept} && cp -a {STAGE} {kept}")
    try:
        message = json.loads(host.file(f"{STAGE}/manifest.json").content_string) | {"postgresql": 99}
        host.check_output(
            f"printf %s '{json.dumps(message)}' > {STAGE}/manifest.json && echo none > {STAGE}/database.dump"
        )
        host.check_output(f"{RESTIC} backup --host=mlflow --tag=mlflow,verified,point:{NAME} {STAGE}")
        yield NAME
    finally:
        host.check_output(
            f"{RESTIC} forget --tag point:{NAME} $({RESTIC} snapshots --json --tag point:{NAME} | "
            'grep -o \'"short_id":"[0-9a-f]*"\' | cut -d\'"\' -f4)'
        )
        host.check_output(f"rm -rf {STAGE} && mv {kept} {STAGE}")


@pytest.mark.parametrize(
    "order", ["--replace-live", "--database-only --replace-live", "--database-only --unverified --replace-live"]
)
def test_a_restore_refuses_it(control: Any, host: Any, newer: str, order: str) -> None:
    """With both versions and what to do, exit 2; its dump was not read, and the server not stopped."""
    here = host.check_output("ls /etc/postgresql")
    started = host.check_output("systemctl show -p ActiveEnterTimestamp mlflow.service")
    before = control.run("status").get("restore")
    error = control.run(f"restore {newer} {order}", expect=2)["error"]
    assert "PostgreSQL 99" in error
    assert f"this host has {here}" in error
    assert "on a host with PostgreSQL 99 or newer" in error
    assert control.run("status").get("restore") == before
    assert host.check_output("systemctl show -p ActiveEnterTimestamp mlflow.service") == started
    assert host.run("ls -d /var/lib/mlflow/artifacts/restore-*").rc != 0


@pytest.mark.parametrize("bare", [False, True])
def test_the_play_refuses_it_first(host: Any, newer: str, bare: bool) -> None:
    """Before anything is installed, on a host that has no restic yet, too."""
    if bare:
        host.check_output("mv /usr/bin/restic /usr/bin/restic.away")
    try:
        done = run_playbook({"restore_point": newer, "restore_replace_live": True}, playbook="playbooks/restore.yml")
        assert not bare or not host.file("/usr/bin/restic").exists
    finally:
        if bare:
            host.check_output("mv /usr/bin/restic.away /usr/bin/restic")
    assert done.returncode != 0
    message = " ".join(done.stdout.split())
    assert f"recovery point {newer} is of PostgreSQL 99" in message, done.stdout[-3000:]
    assert f"has {host.check_output('ls /etc/postgresql')}, which cannot read it" in message
    assert "changed=0" in done.stdout
    assert "Install" not in done.stdout
