"""A failed backup reports why, is never called verified and leaves nothing behind."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.ready import wait_until_ready

FENCE = "/run/mlflow-backup"
# Seconds after the start of a backup; so many that systemd's default start limit would refuse the next start.
# In `make soak`: each at a random moment.
KILLS = (
    [random.uniform(0.1, 4.0) for _ in range(20)]
    if os.environ.get("KILL_EVERY")
    else [0.1, 0.1, 0.2, 0.2, 0.4, 1.5, 3.0]
)


@pytest.fixture(scope="module", autouse=True)
def repository(control: Any) -> None:
    """There is a point already, which the following must not change."""
    control.run("backup")


def test_a_killed_backup_leaves_nothing_behind(control: Any, host: Any) -> None:
    """kill -9 at some moments: the fence is removed, nothing is called verified, the next one works."""
    before = control.points()
    for wait in KILLS:
        host.check_output("systemctl start --no-block mlflow-backup.service")
        time.sleep(wait)
        host.run_test("systemctl kill --signal=KILL --kill-whom=all mlflow-backup.service")
        for _ in range(20):
            if host.check_output("systemctl show -p ActiveState --value mlflow-backup.service") == "failed":
                break
            time.sleep(0.1)
        assert not host.file(FENCE).exists
    assert control.points() == before
    facts = control.run("backup")
    assert control.points() == [*before, facts["point"]]
    control.run("check --full")


def test_one_transaction_at_a_time(control: Any, host: Any) -> None:
    """While an operation holds the lock, all others report it and exit with 75; afterwards they run."""
    host.check_output("systemd-run --quiet --collect --unit holder flock /var/lib/mlflow-backup/lock sleep 300")
    try:
        for command in ("backup", "drill", "restore", "prune", "check", "recover"):
            assert "is running" in control.run(command, expect=75)["error"], command
    finally:
        host.check_output("systemctl stop holder.service")
    control.run("check")


def test_a_missing_or_wrong_volume_is_refused(control: Any, host: Any, server: Any) -> None:
    """Without the right sentinel no point is taken, and the message names it."""
    volume = server["mlflow_volume_path"]
    before = control.points()
    for change in ("rm", "echo another >"):
        host.check_output(f"cp {volume}/.volume-id /root/volume-id && {change} {volume}/.volume-id")
        try:
            assert ".volume-id" in str(error := control.run("backup", expect=1)) or "another" in str(error)
        finally:
            host.check_output(f"cp /root/volume-id {volume}/.volume-id")
    assert control.points() == before


@pytest.mark.parametrize(
    ("clock", "operation", "words"),
    [
        ("+2d", "prune", "until backups work again"),
        ("-1d", "prune", "is in the future"),
        ("-1d", "backup", "the clock is before the last backup"),
    ],
)
def test_a_clock_that_is_wrong_harms_nothing(control: Any, host: Any, clock: str, operation: str, words: str) -> None:
    """Days ahead or behind: it is reported, nothing is removed, no point is mixed up with older ones."""
    before = control.points()
    host.check_output("dpkg --status libfaketime || apt-get install --yes --quiet --no-install-recommends libfaketime")
    library = host.check_output("dpkg --listfiles libfaketime | grep '/libfaketime.so.1$'")
    settings = f"Environment=LD_PRELOAD={library} FAKETIME={clock} FAKETIME_DONT_FAKE_MONOTONIC=1"
    drop_in = f"/run/systemd/system/mlflow-{operation}.service.d"
    host.check_output(
        f"mkdir {drop_in} && printf '[Service]\n{settings}\n' > {drop_in}/clock.conf && systemctl daemon-reload"
    )
    try:
        host.run_test(f"systemctl start mlflow-{operation}.service")
        assert words in str(control.run("status", expect=1)["problems"])
    finally:
        host.check_output(f"rm -r {drop_in} && systemctl daemon-reload")
    assert control.points() == before
    control.run(operation)


def test_a_stopped_database_is_a_failed_backup(control: Any, host: Any) -> None:
    """Without a database no point is taken; the state shows it until the next success, and a notification is sent."""
    before = control.points()
    host.check_output("systemctl stop 'postgresql@*'")
    try:
        assert "PostgreSQL" in control.run("backup", expect=1)["error"]
    finally:
        host.check_output("systemctl start postgresql")
    assert control.points() == before
    assert any("last backup failed" in problem for problem in control.run("status", expect=1)["problems"])
    assert "mlflow-notify@mlflow-backup" in host.check_output(
        "journalctl --no-pager --unit 'mlflow-notify@*' --lines 20 -o short-unix -o with-unit"
    )
    control.run("backup")
    assert control.run("status")["problems"] == []


@pytest.fixture(params=["mlflowctl", "pg_dump"])
def waited_for(host: Any, request: Any) -> Iterator[str]:
    """A lock on a table that mlflowctl reads first."""
    psql = "psql --username=postgres --quiet mlflow --command "
    # mlflowctl reads only MLflow's own tables.
    host.check_output(psql + "'CREATE SCHEMA slow AUTHORIZATION mlflow CREATE TABLE slow ()'")
    yield {"mlflowctl": "public.metrics", "pg_dump": "slow.slow"}[request.param]
    host.check_output(psql + "'DROP SCHEMA slow CASCADE'")


def test_a_database_that_dies_under_a_backup_is_a_failed_backup(
    control: Any, host: Any, http: Any, server: Any, waited_for: str
) -> None:
    """kill -9 of PostgreSQL while a backup reads it: no point, the fence is removed, MLflow recovers by itself."""
    before = control.points()
    # The backup waits for this lock, so it is under way for certain.
    lock = f"BEGIN; LOCK TABLE {waited_for} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(120)"
    host.check_output("systemd-run --quiet --collect --unit=locker psql --username=postgres mlflow --command %s", lock)
    query = "psql --username=postgres -Atc"
    held = f"{query} 'SELECT mode FROM pg_locks' | grep --quiet AccessExclusive"
    host.check_output(f'timeout 60 sh -c "until {held}; do sleep 0.1; done"')
    host.check_output("systemctl start --no-block mlflow-backup.service")
    waiting = f"{query} 'SELECT application_name, wait_event_type FROM pg_stat_activity'"
    host.check_output(f"timeout 60 sh -c \"until {waiting} | grep --quiet '^mlflowctl|Lock'; do sleep 0.1; done\"")
    assert host.file(f"{FENCE}/fence-deletes").exists
    host.check_output("systemctl kill --signal=KILL --kill-whom=all 'postgresql@*'")
    state = "systemctl show --property=ActiveState --value mlflow-backup.service"
    host.check_output(f"timeout 60 sh -c 'until {state} | grep --quiet failed; do sleep 0.1; done'")
    assert not host.file(FENCE).exists
    host.check_output("systemctl restart 'postgresql@*-main.service'")
    assert re.search(
        "PostgreSQL closed the connection|pg_dump .* ended", str(control.run("status", expect=1)["problems"])
    )
    wait_until_ready(http, server)
    assert control.points() == before
    control.run("backup")


def test_a_damaged_dump_is_rejected(control: Any) -> None:
    """A truncated dump does not pass the read-back; one with a flipped byte is not restored."""
    point = f"control-flipped-{time.time():.0f}"
    output = control.python(
        f"""
import json
from mlflowctl import stores
from mlflowctl.core import config, lock
from mlflowctl.recovery import backup
from mlflowctl.stores.database.postgresql import store as postgresql
from mlflowctl.core.errors import ControlError
from mlflowctl.recovery.repository import INCOMPLETE, VERIFIED, Restic
c = config.load()
with lock.exclusive(c.instance.state_path, "negative control"):
    backup.stage(c, "{point}", print)
    dump = c.instance.stage / "database.dump"
    good = dump.read_bytes()
    postgresql.read_back(dump)
    try:
        dump.write_bytes(good[: len(good) * 6 // 10])
        postgresql.read_back(dump)
        verdict = "accepted"
    except ControlError as error:
        verdict = str(error)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 255
    dump.write_bytes(bytes(flipped))
    Restic(c.recovery.repository()).backup("{point}", [c.instance.stage, *stores.artifacts.of(c).copied])
    Restic(c.recovery.repository()).mark("{point}", VERIFIED)
print(json.dumps(verdict))
"""
    )
    assert "cannot be read back" in output
    assert "SHA-256 differs" in control.run(f"drill {point}", expect=1)["error"]
    control.python(
        f"""
from mlflowctl.core import config
from mlflowctl.recovery.repository import INCOMPLETE, Restic
Restic(config.load().recovery.repository()).mark("{point}", INCOMPLETE)
print("0")
"""
    )
    control.run("backup")


def test_a_full_repository_fails_loudly_and_recovers(control: Any, host: Any) -> None:
    """A full repository: exit 2, an error, no verified point; with free space it works."""
    host.check_output("mkdir -p /mnt/tiny && mount -t tmpfs -o size=600k tmpfs /mnt/tiny")
    host.check_output(
        "cd /etc/mlflow && cp mlflowctl.toml tiny.toml && mkdir tiny.d && "
        'sed \'s|^location = .*|location = "/mnt/tiny/repository"|; s|^name = .*|name = "tiny"|\''
        " mlflowctl.d/backup.toml > tiny.d/backup.toml"
    )
    code = """
import json
from mlflowctl.core import config
from mlflowctl.recovery import backup
from mlflowctl.core.errors import ControlError
from pathlib import Path
import dataclasses
c = config.load(Path("/etc/mlflow/tiny.toml"))
c = dataclasses.replace(c, recovery=dataclasses.replace(c.recovery, fence_file=Path("/run/test-fence")))
try:
    print(json.dumps(backup.take(c, lambda text: None)))
except ControlError as error:
    print(json.dumps({"error": str(error)}))
"""
    try:
        host.check_output("head -c 3M /dev/urandom > /var/lib/mlflow/artifacts/store/big")
        assert "no space left" in control.python(code)["error"]
        host.check_output("mount -o remount,size=600m /mnt/tiny")
        taken = control.python(code)
        assert taken.get("lost") == 0, taken
    finally:
        host.check_output("umount /mnt/tiny; rm -rf /etc/mlflow/tiny.* /var/lib/mlflow/artifacts/store/big")
    control.run("backup")


def test_too_little_space_for_the_dump_is_reported_first(control: Any, host: Any) -> None:
    """The staging disk is too small: refused before the fence is set, and it works again afterwards."""
    host.check_output("mount -t tmpfs -o size=64m tmpfs /var/lib/mlflow-backup && mkdir /var/lib/mlflow-backup/metrics")
    try:
        assert "free some space" in control.run("backup", expect=1)["error"]
        assert host.run("ls /var/lib/mlflow-backup/stage").rc != 0
    finally:
        host.check_output("umount /var/lib/mlflow-backup")
    control.run("backup")
