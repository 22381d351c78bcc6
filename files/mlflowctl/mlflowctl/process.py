"""Run other programs: no shell, no secret in arguments, errors with the program's own last words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from mlflowctl.errors import ControlError


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
    **more: object,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it printed.

    Args:
        arguments: program and arguments.
        environment: variables on top of ours; secrets go here as file names.
        accept: exit codes that are no failure.
        more: further arguments of ``subprocess.run``.

    Raises:
        ControlError: it is not installed, or ended with another code.
    """
    try:
        done = subprocess.run(  # type: ignore[call-overload]
            list(arguments),
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",  # a damaged dump makes pg_restore print any bytes
            check=False,
            **more,
        )
    except FileNotFoundError as error:
        raise ControlError(f"{arguments[0]} is not installed: run the playbook again") from error
    if done.returncode not in accept:
        words = (done.stderr.strip() or done.stdout.strip() or "it said nothing")[-2000:]
        raise ControlError(f"{' '.join(arguments[:2])} ended with {done.returncode}: {words}")
    return done  # type: ignore[no-any-return]
