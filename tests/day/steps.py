"""The steps of the day."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.day.watch import Server
from tests.harness.playbook import run_playbook

# The store on the volume, which may be a file system of its own, is replaced by an empty directory.
ARTIFACTS = "/var/lib/mlflow/artifacts"
ASIDE = f"{ARTIFACTS}/aside"
GONE = f"mkdir {ASIDE} && mv {ARTIFACTS}/.volume-id {ARTIFACTS}/store {ASIDE}"
BACK = f"mv {ASIDE}/.volume-id {ASIDE}/store {ARTIFACTS} && rmdir {ASIDE} && systemctl restart mlflow.service"


@dataclass(frozen=True)
class Step:
    """Something that happens.

    Attributes:
        name: in the table.
        do: what happens.
        undo: reverts it; without it the server recovers by itself.
        long: not in a short day.
        notifies: whether there must be a notification.
    """

    name: str
    do: Callable[[Server], str]
    undo: Callable[[Server], str] | None = None
    long: bool = False
    notifies: bool = False


def play(
    playbook: str, *arguments: str, variables: dict[str, Any] | None = None, refused: str = ""
) -> Callable[[Server], str]:
    """Run a playbook; returns the error, if any. ``refused`` is text that a refusal must contain."""

    def run(server: Server) -> str:
        done = run_playbook(variables, arguments, {"MOLECULE_INVENTORY_FILE": server.inventory}, playbook)
        message = " ".join((done.stdout + done.stderr).split())
        if refused:
            return "" if done.returncode and refused in message else f"not refused: {message[-300:]}"
        return f"{playbook}: {message[-300:]}" if done.returncode else ""

    return run


def shell(command: str) -> Callable[[Server], str]:
    """Run a command on the host; returns its error output if it failed."""

    def run(server: Server) -> str:
        done = server.run(command)
        return f"{command}: {(done.stderr or done.stdout).strip()[-200:]}" if done.returncode else ""

    return run


def reboot(server: Server) -> str:
    """The nearest thing to a reboot in a container."""
    done = subprocess.run(
        ["docker", "restart", server.container], capture_output=True, text=True, check=False, timeout=120
    )
    return done.stderr.strip()


POSTGRESQL = "$(systemctl list-units --all --plain --no-legend 'postgresql@*-main.service' | cut -d' ' -f1)"
PARTS = [
    "mlflow.service",
    "mlflow-asgi.service",
    "nginx.service",
    "mlflow-login.service",
    "mlflow-uploads.service",
    POSTGRESQL,
]
# tests/host stops and kills the others, too.
SHORT = ["mlflow.service", "nginx.service", POSTGRESQL]
# The next request starts the others again.
NOTIFY = ["nginx.service", "mlflow-login.service", "mlflow-uploads.service", POSTGRESQL]


def label(part: str) -> str:
    """A part's name in the table."""
    return "postgresql" if part == POSTGRESQL else part.removesuffix(".service")


STEPS = [
    Step("install", play("site.yml"), long=True),
    Step("users", play("playbooks/users.yml")),
    Step(
        "settings",
        play("site.yml", "--tags", "mlflow", variables={"mlflow_threads": 6}),
        play("site.yml"),
        long=True,
    ),
    *(
        Step(
            f"{label(part)} stopped",
            shell(f"systemctl stop {part}"),
            shell(f"systemctl start {part}"),
            long=part not in SHORT,
            notifies=part in NOTIFY,
        )
        for part in PARTS
    ),
    # Each must restart by itself after it was killed.
    *(
        Step(f"{label(part)} killed", shell(f"systemctl kill --signal KILL {part}"), long=part not in SHORT)
        for part in PARTS
    ),
    # It cannot start, and reports that.
    Step("volume missing", shell(f"{GONE} && ! systemctl restart mlflow.service"), shell(BACK), notifies=True),
    Step(
        "volume full",
        play("site.yml", "--tags", "mlflow", variables={"mlflow_volume_reserve_mb": 1000000000}),
        play("site.yml", "--tags", "mlflow"),
        long=True,
    ),
    Step("recovery point", shell("mlflowctl backup")),
    Step("restore", shell("mlflowctl restore latest --replace-live"), long=True),
    Step("second instance", play("site.yml", variables={"mlflow_unit": "second"}, refused="A host holds one")),
    Step("uninstall", play("playbooks/uninstall.yml"), play("site.yml"), long=True),
    Step("reboot", reboot, long=True),
]
