"""Recovery points are stored in every configured repository, and can be restored from each: disk, append-only REST, SFTP, S3."""

from __future__ import annotations

import json
from email import message_from_string
from email.policy import default
from typing import Any

import pytest

from tests.harness.control import control
from tests.scenarios.alternative.repositories.conftest import SERVE

# Keeps the body of one POST.
HOOK = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        open("/run/hook", "wb").write(body)
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", 8501), Hook).handle_request()
"""


@pytest.mark.parametrize("repository", ["disk", "vault", "neighbour", "cloud"])
def test_a_point_comes_back_from_each(host: Any, point: str, repository: str) -> None:
    """It is verified there, and its restore works, with all names and paths changed."""
    points = control(host, f"points --repository {repository}")
    assert {"point": point, "state": "verified"}.items() <= points[-1].items()
    assert control(host, f"drill {point} --repository {repository}")["lost"] == 0


def test_a_restore_works_under_other_names(host: Any, point: str) -> None:
    """Swapped in and back in service."""
    printed = control(host, f"restore {point} --repository neighbour --replace-live")
    assert printed["lost"] == 0
    assert host.service("tracking.service").is_running
    if printed["put_aside"]:
        control(host, f"leftovers delete {printed['put_aside']}")


def test_the_storages_password_is_kept_secret(host: Any, point: str) -> None:
    """It is in one file that only root reads, in no message and in no argument."""
    holders = host.check_output("grep -rlF of-the-vault /srv/tracking /etc/systemd/system || true").splitlines()
    assert holders == ["/srv/tracking/settings/secrets/repository_vault.env"]
    assert host.file(holders[0]).mode == 0o600
    journal = host.check_output("journalctl --no-pager --boot --unit 'tracking-*'")
    assert point in journal
    assert "of-the-vault" not in journal


def test_an_unavailable_repository_is_named(host: Any, point: str) -> None:
    """The point is verified in the others; command, mail and webhook report the unavailable one, without a password."""
    host.check_output("systemd-run --quiet --unit=test-hook python3 -c %s", HOOK)
    host.check_output("printf '#!/bin/sh\ncat >> /run/mail\n' > /usr/sbin/sendmail && chmod 755 /usr/sbin/sendmail")
    before = len(control(host, "points --repository disk"))
    host.check_output("systemctl stop test-vault.service")
    try:
        printed = control(host, "backup", expect=1)["error"]
    finally:
        host.check_output(SERVE)
    # The webhook is called last.
    host.check_output("timeout 30 sh -c 'until test -s /run/hook; do sleep 0.2; done'")
    received = [
        host.check_output("journalctl --no-pager --boot --identifier operator-notification"),
        message_from_string(host.check_output("cat /run/mail"), policy=default).get_content(),
        host.check_output("cat /run/hook"),
    ]
    host.check_output("rm /usr/sbin/sendmail")
    for words in received:
        assert "tracking-backup" in words
        assert "repository vault" in words
        assert "of-the-vault" not in words
    assert "repository vault" in printed
    assert "connection refused" in printed
    assert "of-the-vault" not in printed
    states = [found["state"] for found in control(host, "points --repository disk")]
    assert len(states) == before + 1
    assert states[-1] == "verified"


def test_deletions_wait_for_the_file_systems_snapshot_only(host: Any, point: str) -> None:
    """The copy reads a snapshot, so deletions continue before it is complete; the snapshot is removed."""
    printed = host.run("mlflowctl backup").stderr.splitlines()
    steps = [line for line in printed if "deletions" in line or line.startswith("copying to")]
    assert "blocked" in steps[0]
    assert "resume" in steps[1]
    assert steps[2] == "copying to repository disk"
    assert not host.file("/srv/tracking/volume/.point").exists


def test_what_a_killed_backup_leaves_is_removed(host: Any, point: str) -> None:
    """Killed while the snapshot exists; the next backup works and removes it."""
    host.check_output("systemctl start --no-block tracking-backup.service")
    for wanted in ("test -e /srv/tracking/volume/.point/store", "systemctl is-failed --quiet tracking-backup.service"):
        host.check_output(f"timeout 60 sh -c 'until {wanted}; do sleep 0.1; done'")
        host.run_test("systemctl kill -s KILL tracking-backup.service")
    assert host.file("/srv/tracking/volume/.point").exists
    assert not host.file("/run/tracking-backup/fence-deletes").exists
    point = control(host, "backup")["point"]
    assert not host.file("/srv/tracking/volume/.point").exists
    # Files that other tests have removed from the source are in the report, too; the backup did not lose them.
    report = json.loads(host.run(f"mlflowctl verify {point} --json").stdout)
    assert report["references"] > 0
    assert report["lost"] == []


def test_a_restore_that_does_not_fit_is_refused(host: Any, point: str) -> None:
    """The volume is too full for a second copy: refused before anything is fetched, and the server continues."""
    host.check_output(
        "fallocate --length $(($(df --output=avail --block-size=1M /srv/tracking/volume | tail -n 1) - 150))M"
        " /srv/tracking/volume/filler"
    )
    try:
        printed = control(host, "restore latest --replace-live", expect=1)["error"]
    finally:
        host.check_output("rm /srv/tracking/volume/filler")
    assert "free some space" in printed
    assert host.service("tracking.service").is_running
    assert host.run("ls -d /srv/tracking/volume/restore-*").rc != 0


def test_nobody_on_this_host_can_remove_a_point_from_the_vault(host: Any, point: str) -> None:
    """Retention does not touch it; the storage refuses deletions, even with the repository's password."""
    # Three verified points always stay.
    while len([found for found in control(host, "points") if found["state"] == "verified"]) < 4:
        control(host, "backup")
    removed = control(host, "prune")["removed"]
    assert point in removed["disk"]
    assert point in removed["neighbour"]
    assert "vault" not in removed
    listed = {found["point"]: found["state"] for found in control(host, "points --repository vault")}
    assert listed[point] == "verified"
    environment = "RESTIC_REPOSITORY=rest:http://tracking:of-the-vault@127.0.0.1:8500/ RESTIC_PASSWORD=a-long-password-of-an-append-only-repository"
    assert host.run(f"{environment} restic forget --tag point:{point} --keep-last 0 --prune latest").rc != 0
    assert point in {found["point"] for found in control(host, "points --repository vault")}
    control(host, "check --full")
