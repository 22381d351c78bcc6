"""Run an operation as its systemd unit, so that a dropped SSH connection does not interrupt it.

The unit provides the sandbox, and a RuntimeDirectory whose files are removed when
it ends. Arguments are passed in a file, because a unit takes none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from mlflowctl.core import progress
from mlflowctl.core.config import Instance
from mlflowctl.core.errors import Busy, ControlError
from mlflowctl.core.facts import FactsPrinter
from mlflowctl.core.process import run

# The journal lags behind the unit.
JOURNAL_SECONDS = 0.5
SHOW_SECONDS = 0.2


def name(instance: Instance, operation: str) -> str:
    """The unit of an operation."""
    return f"{instance.unit}-{operation}.service"


def inside(instance: Instance, operation: str) -> bool:
    """Whether this process is the operation's own unit."""
    return os.environ.get("MLFLOWCTL_UNIT") == name(instance, operation)


def _request(instance: Instance, operation: str) -> Path:
    return instance.state_path / f"{operation}.arguments"


def _result(instance: Instance, operation: str) -> Path:
    return instance.state_path / f"{operation}.result"


def arguments(instance: Instance, operation: str) -> list[str]:
    """The arguments of the command that started the unit, once; empty if a timer started it."""
    path = _request(instance, operation)
    try:
        found: list[str] = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    path.unlink()
    os.environ["MLFLOWCTL_REQUESTED"] = "1"
    return found


def requested() -> bool:
    """Whether a command has started the unit and waits for the result; otherwise a timer has."""
    return "MLFLOWCTL_REQUESTED" in os.environ


def start(instance: Instance, operation: str, arguments: list[str], output: FactsPrinter) -> int:
    """Start the unit, show its journal until it ends, print the facts it recorded.

    Returns:
        The unit's exit code.

    Raises:
        Busy: the unit is already running.
    """
    unit = name(instance, operation)
    active = run(["systemctl", "show", "--property=ActiveState", "--value", unit]).stdout.strip()
    if active in ("active", "activating", "deactivating"):
        raise Busy(f"{unit} is running: wait for it, then repeat")
    _request(instance, operation).write_text(json.dumps(arguments))
    _result(instance, operation).unlink(missing_ok=True)
    progress.clear(instance)
    terminal = sys.stderr.isatty()
    journal = subprocess.Popen(
        ["journalctl", "--follow", "--lines=0", "--output=cat", f"--unit={unit}"],
        stdout=subprocess.PIPE if terminal else sys.stderr, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        starting = subprocess.Popen(["systemctl", "start", unit], stderr=subprocess.DEVNULL)
        if terminal and journal.stdout:
            _show(instance, unit, journal.stdout, starting)
        starting.wait()
        time.sleep(JOURNAL_SECONDS)
    finally:
        journal.terminate()
        journal.wait()
    result = run(["systemctl", "show", "--property=Result", "--value", unit]).stdout.strip()
    try:
        result_file = json.loads(_result(instance, operation).read_text())
    except FileNotFoundError:
        output.facts({"error": f"{unit} was killed ({result}): see journalctl -u {unit}"})
        return ControlError.exit_code
    output.facts(result_file["facts"])
    return int(result_file["code"])


def _show(instance: Instance, unit: str, journal: IO[str], starting: subprocess.Popen[bytes]) -> None:
    """Show the unit's journal and a progress bar until it ends."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def follow() -> None:
            for line in journal:
                shown.console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)

        Thread(target=follow, daemon=True).start()
        bar = shown.add_task(unit, total=None)
        while starting.poll() is None:
            description, share = progress.read(instance)
            shown.update(bar, description=description or unit, total=None if share is None else 1, completed=share or 0)
            time.sleep(SHOW_SECONDS)


def leave_result(instance: Instance, operation: str, facts: object, code: int) -> None:
    """Store facts and exit code for :func:`start`: systemd does not keep them for a unit that succeeds."""
    _result(instance, operation).write_text(json.dumps({"facts": facts, "code": code}, default=str))
