"""Scheduled operations: a missed run is caught up on, a hanging operation is stopped, a missing timer is reported."""

from __future__ import annotations

from typing import Any

from tests.harness.control import control

UNIT = "tracking-base-backup"
DROP_IN = f"/run/systemd/system/{UNIT}.service.d"
STAMP = f"/var/lib/systemd/timers/stamp-{UNIT}.timer"


def test_a_missed_run_is_caught_up_on(host: Any) -> None:
    """A host that was off for two days runs it as soon as it is back."""
    assert host.run("grep --quiet base_backup /srv/tracking/recovery/state.json").rc != 0
    host.check_output(
        f"systemctl stop {UNIT}.timer && touch --date='2 days ago' {STAMP} && systemctl start {UNIT}.timer"
    )
    host.check_output(
        "timeout 60 sh -c 'until grep --quiet --no-messages base_backup /srv/tracking/recovery/state.json; do sleep 0.2; done'"
    )
    assert host.run("mlflowctl status --json | grep 'last base_backup failed'").rc == 1


def test_a_hanging_operation_is_stopped(host: Any) -> None:
    """After its time limit it is stopped and reported, and the next one works."""
    host.check_output(
        f"mkdir -p {DROP_IN} && printf '[Service]\nTimeoutStartSec=100ms\n' > {DROP_IN}/limit.conf && systemctl daemon-reload"
    )
    try:
        message = control(host, "base-backup", expect=1)["error"]
    finally:
        host.check_output(f"rm -r {DROP_IN} && systemctl daemon-reload && systemctl reset-failed")
    assert "timeout" in message
    assert control(host, "base-backup")["type"] == "incr"


def test_a_timer_that_does_not_run_is_a_problem(host: Any) -> None:
    """It is reported before its points are too old."""
    host.check_output("systemctl stop tracking-backup.timer")
    try:
        problems = control(host, "status", expect=1)["problems"]
    finally:
        host.check_output("systemctl start tracking-backup.timer")
    assert any("tracking-backup.timer" in problem for problem in problems), problems
