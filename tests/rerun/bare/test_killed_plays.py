"""A play that is killed anywhere converges when it is run again."""

from __future__ import annotations

import os
import re
from typing import Any

from tests.hosts.playbook import ROOT, ask, run_playbook

CALLBACK = {
    "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "plugins" / "callback"),
    "ANSIBLE_CALLBACKS_ENABLED": "kill_at",
}

# Where a kill hurts most: files written and PostgreSQL not restarted; packages
# half installed; units written and nothing started. KILL_EVERY=3 kills at
# every third task instead.
NASTY = [
    "Ask systemd about PostgreSQL",
    "Install the locked packages",
    "Ask systemd about the units",
]
SHORT = 3


def tasks(arguments: tuple[str, ...] = ()) -> list[tuple[int, str]]:
    """Number and name of each task, from a run that changes nothing (check mode)."""
    done = run_playbook(arguments=("--check", *arguments), environment=CALLBACK)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [(int(n), name) for n, name in re.findall(r"^TASK-NUMBER (\d+) (.*)$", done.stdout, re.M)]


def kill_points() -> list[int]:
    """The tasks to kill at, in ascending order."""
    numbered = tasks()
    if every := int(os.environ.get("KILL_EVERY", "0")):
        return [number for number, _ in numbered[::every]]
    points = [next(n for n, name in numbered if wanted in name) for wanted in NASTY]
    assert len(points) == SHORT
    return sorted(points)


def test_a_killed_play_converges_when_run_again(host: Any) -> None:
    """Killed at each point in turn on one host, the play then completes, and once more changes nothing."""
    for point in kill_points():
        killed = run_playbook(environment=CALLBACK | {"KILL_AT": str(point)})
        if killed.returncode == 0:
            # A host that is nearly done needs fewer tasks than a bare one.
            assert len(re.findall(r"^TASK-NUMBER ", killed.stdout, re.M)) < point
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


def test_a_lost_restart_is_made_up_for(host: Any) -> None:
    """Killed after a setting was written and before the restart, the next run restarts MLflow."""
    only = ("--tags", "mlflow")
    numbered = tasks(only)
    point = next(number for number, name in numbered if "Ask systemd about the units" in name)
    change = {"mlflow_threads": 5}
    killed = run_playbook(change, only, environment=CALLBACK | {"KILL_AT": str(point)})
    assert killed.returncode == -9
    assert "Ask systemd about the units" in killed.stdout.splitlines()[-1], killed.stdout[-2000:]
    before = host.check_output("systemctl show -p MainPID --value mlflow.service")
    done = run_playbook(change, only)
    assert done.returncode == 0, done.stdout[-4000:]
    assert host.check_output("systemctl show -p MainPID --value mlflow.service") != before


def test_timers_follow_their_variables(host: Any) -> None:
    """A new schedule counts at once; a timer that is switched on runs, and switched off it does not."""

    def timers() -> str:
        return str(host.check_output("systemctl list-timers --no-legend 'mlflow-*' --output=json"))

    assert "mlflow-gc.timer" not in timers()
    only = ("--tags", "backup")
    change = {"backup_gc_enabled": True, "backup_drill_schedule": "*-*-* 23:00:00", "backup_random_delay": 0}
    done = run_playbook(change, only)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "mlflow-gc.timer" in timers()
    elapse = host.check_output("systemctl show -p NextElapseUSecRealtime --value mlflow-drill.timer")
    assert "23:00:00" in elapse
    done = run_playbook(arguments=only)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "mlflow-gc.timer" not in timers()
    assert host.run("systemctl is-enabled mlflow-gc.timer").stdout.strip() == "disabled"
