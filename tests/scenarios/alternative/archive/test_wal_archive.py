"""The database as of any moment, from the WAL archive, with the artifacts of a recovery point."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness.control import control
from tests.harness.playbook import run_playbook

WAL = "/srv/tracking/wal"


def sql(host: Any, statement: str, database: str = "runs") -> str:
    """Query the live database."""
    return str(host.check_output("runuser -u postgres -- psql -qAt %s -c %s", database, statement))


def experiment(host: Any, name: str) -> str:
    """Create it through MLflow; returns the database's time after it."""
    url = urlsplit(host.ansible.get_variables()["mlflow_public_url"])
    host.check_output(
        "curl --silent --fail --unix-socket /run/tracking/wsgi.sock --json %s"
        f" http://{url.netloc}/api/2.0/mlflow/experiments/create",
        json.dumps({"name": name}),
    )
    time.sleep(1)
    return sql(host, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00')")


def names(host: Any) -> set[str]:
    """Names of the experiments that are not deleted."""
    return set(sql(host, "SELECT name FROM experiments").splitlines())


@pytest.fixture(scope="module")
def history(host: Any, servers: None) -> dict[str, str]:
    """A base backup, an experiment, a moment, another experiment, a point, a third experiment."""
    control(host, "base-backup")
    moment = experiment(host, "wal-before")
    experiment(host, "wal-after")
    taken = control(host, "backup")["point"]
    experiment(host, "wal-later")
    return {"moment": moment, "point": taken}


def test_base_backups_have_a_timer(host: Any) -> None:
    """It is enabled, runs, and has a next elapse."""
    timer = host.service("tracking-base-backup.timer")
    assert timer.is_enabled
    assert timer.is_running
    assert host.check_output("systemctl show -p NextElapseUSecRealtime --value tracking-base-backup.timer")


def test_the_archive_is_closed_to_others(host: Any) -> None:
    """Encrypted, and its password readable for PostgreSQL's user only."""
    password = host.file("/etc/pgbackrest/conf.d/password.conf")
    assert (password.user, password.group, password.mode) == ("root", "postgres", 0o640)
    secret = password.content_string.rsplit("=", 1)[1].strip()
    assert len(secret) == 48
    assert host.run(f"grep -rlF wal-before {WAL}").rc == 1
    assert secret not in host.check_output("ps -eo args")
    assert secret not in host.check_output("journalctl --no-pager --boot --unit 'tracking-*' --unit 'postgresql*'")


def test_the_database_is_restored_to_a_points_own_time(host: Any, history: dict[str, str]) -> None:
    """By the name that the point has in the log."""
    assert {"wal-before", "wal-after", "wal-later"} <= names(host)
    message = control(host, f"restore {history['point']} --database-at point --replace-live")
    assert message["lost"] == 0
    assert {"wal-before", "wal-after"} <= names(host)
    assert "wal-later" not in names(host)
    control(host, f"leftovers delete {message['put_aside']}")


def test_the_database_goes_back_to_a_moment(host: Any, history: dict[str, str]) -> None:
    """Earlier changes are in it, later ones are not; MLflow serves it."""
    assert {"wal-before", "wal-after"} <= names(host)
    message = control(host, f"restore --database-at {history['moment']} --replace-live")
    assert message["lost"] == 0
    assert "wal-before" in names(host)
    assert "wal-after" not in names(host)
    assert host.service("tracking.service").is_running
    assert not host.file("/srv/tracking/recovery/replay").exists
    control(host, f"leftovers delete {message['put_aside']}")


def test_another_password_replaces_nothing(host: Any) -> None:
    """It would not open the archive: it is refused, and the right one stays."""
    path = "/etc/pgbackrest/conf.d/password.conf"
    before = host.file(path).content_string
    done = run_playbook(
        {"mlflow_postgres_wal_archive_password": "another-password-of-some-length"}, arguments=("--tags", "postgres")
    )
    assert done.returncode != 0
    assert "mlflow_postgres_wal_archive_password is not the one" in done.stdout
    assert "another-password" not in done.stdout + done.stderr
    assert host.file(path).content_string == before


def test_what_cannot_be_replayed_is_refused(host: Any, history: dict[str, str]) -> None:
    """A moment before the first base backup, and one that was never reached."""
    assert (
        "no base backup from before"
        in control(host, "restore --database-at 2020-01-01 --replace-live", expect=2)["error"]
    )
    assert "in the future" in control(host, "restore --database-at 2999-01-01 --replace-live", expect=2)["error"]
    assert host.service("tracking.service").is_running


def test_the_next_base_backup_is_small(host: Any, history: dict[str, str]) -> None:
    """Only what has changed, until the full one is a week old."""
    assert control(host, "base-backup")["type"] == "incr"


def test_an_unavailable_archive_stops_nothing_and_is_reported(host: Any, history: dict[str, str]) -> None:
    """The server continues, status reports it, and the WAL is archived later."""
    host.check_output(f"mv {WAL} {WAL}.away && touch {WAL}")
    try:
        sql(host, "SELECT txid_current(); SELECT pg_switch_wal()")
        host.check_output(
            "timeout 60 sh -c %s",
            "until mlflowctl status --json | grep --quiet 'the WAL archive does not accept'; do sleep 1; done",
        )
        experiment(host, "wal-away")
        assert control(host, "base-backup", expect=1)["error"]
    finally:
        host.check_output(f"rm {WAL} && mv {WAL}.away {WAL}")
    host.check_output("systemctl reset-failed")
    control(host, "base-backup")
    host.check_output(
        "timeout 120 sh -c %s",
        "while mlflowctl status --json | grep --quiet 'the WAL archive does not accept'; do sleep 1; done",
    )
    assert json.loads(host.check_output("runuser -u postgres -- pgbackrest --stanza=mlflow info --output=json"))


def test_a_new_cluster_continues_the_archive_of_a_lost_one(host: Any, history: dict[str, str]) -> None:
    """The database's disk is lost: a new cluster uses the same archive, from which the old one's rows are restored."""
    version = host.check_output("ls /etc/postgresql")
    host.check_output("systemctl stop tracking.target tracking.service tracking-asgi.service")
    host.check_output(f"pg_dropcluster --stop {version} main && pg_createcluster {version} main")
    done = run_playbook()
    assert done.returncode == 0, done.stdout[-4000:]
    assert "wal-before" not in names(host)
    message = control(host, f"restore --database-at {history['moment']} --replace-live")
    assert message["lost"] == 0
    assert "wal-before" in names(host)
    assert "wal-after" not in names(host)
    assert control(host, "base-backup")["type"] == "full"
    if message["put_aside"]:
        control(host, f"leftovers delete {message['put_aside']}")
