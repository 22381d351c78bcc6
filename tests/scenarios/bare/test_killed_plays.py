"""A play that is killed anywhere converges when it is run again."""

from __future__ import annotations

import os
import re
from typing import Any

from tests.harness.playbook import ask, run_playbook

CALLBACK = {
    "ANSIBLE_CALLBACKS_ENABLED": "kill_at,warm",
}

# Where a kill hurts most: files written and PostgreSQL not restarted; packages
# half installed; units written and nothing started. KILL_EVERY=3 kills at
# every third task instead.
NASTY = [
    "Read PostgreSQL's state from systemd",
    "Install the locked packages",
    "Read the units' state from systemd",
]


def kill_points() -> list[str]:
    """Numbers or names of the tasks to kill at, in the order of the play."""
    every = int(os.environ.get("KILL_EVERY", "0"))
    if not every:
        return NASTY
    # The number of tasks is that of a run that changes nothing.
    done = run_playbook(arguments=("--check",), environment=CALLBACK)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return re.findall(r"^TASK-NUMBER (\d+) ", done.stdout, re.M)[::every]


def test_a_killed_play_converges_when_run_again(host: Any) -> None:
    """Killed at each point in turn on one host, the play then completes, and once more changes nothing."""
    for point in kill_points():
        killed = run_playbook(environment=CALLBACK | {"KILL_AT": point})
        if killed.returncode == 0 and point.isdecimal():
            # A host that is nearly complete needs fewer tasks than a bare one.
            assert len(re.findall(r"^TASK-NUMBER ", killed.stdout, re.M)) < int(point)
            break
        assert killed.returncode == -9, f"point {point}: {killed.stdout[-2000:]}"
    done = run_playbook()
    assert done.returncode == 0, done.stdout[-4000:]
    again = run_playbook()
    assert again.returncode == 0
    assert re.search(r"changed=0 .*failed=0", again.stdout), again.stdout[-4000:]

    assert ask(host, "ada", "correct-horse-battery").json() == {
        "ready": True,
        "checks": {"database": "ok", "volume": "ok"},
    }


def test_a_lost_restart_is_caught_up_on(host: Any) -> None:
    """Killed after a setting was written and before the restart, the next run restarts MLflow."""
    only = ("--tags", "mlflow")
    change = {"mlflow_threads": 5}
    killed = run_playbook(change, only, environment=CALLBACK | {"KILL_AT": "Read the units' state from systemd"})
    assert killed.returncode == -9
    assert "Read the units' state from systemd" in killed.stdout.splitlines()[-1], killed.stdout[-2000:]
    before = host.check_output("systemctl show -p MainPID --value mlflow.service")
    done = run_playbook(change, only)
    assert done.returncode == 0, done.stdout[-4000:]
    assert host.check_output("systemctl show -p MainPID --value mlflow.service") != before


def test_timers_follow_their_variables(host: Any) -> None:
    """A new schedule takes effect at once; a timer that is enabled runs, and a disabled one does not."""

    def timers() -> str:
        return str(host.check_output("systemctl list-timers --no-legend 'mlflow-*' --output=json"))

    assert "mlflow-gc.timer" not in timers()
    only = ("--tags", "backup")
    change = {
        "mlflow_backup_gc_enabled": True,
        "mlflow_backup_drill_schedule": "*-*-* 23:00:00",
        "mlflow_backup_random_delay": 0,
    }
    done = run_playbook(change, only)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "mlflow-gc.timer" in timers()
    elapse = host.check_output("systemctl show -p NextElapseUSecRealtime --value mlflow-drill.timer")
    assert "23:00:00" in elapse
    done = run_playbook(arguments=only)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "mlflow-gc.timer" not in timers()
    assert host.run("systemctl is-enabled mlflow-gc.timer").stdout.strip() == "disabled"
