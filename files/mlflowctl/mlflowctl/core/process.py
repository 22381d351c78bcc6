"""Run other programs: no shell, no secrets in arguments, errors with the end of the program's output."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from mlflowctl.core.errors import ControlError
from mlflowctl.core.printable import shortened


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
    stdin: str = "",
    timeout: float | None = None,
    **more: object,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it printed.

    Args:
        arguments: program and arguments.
        environment: variables in addition to ours; secrets are passed as file names.
        accept: exit codes that mean success.
        stdin: text for the program's standard input.
        timeout: seconds after which it is killed; never by default.
        more: further arguments of ``subprocess.run``.

    Raises:
        ControlError: it is not installed, took too long, or ended with another code.
    """
    try:
        done = subprocess.run(  # type: ignore[call-overload]
            list(arguments),
            env={**os.environ, **(environment or {})},
            input=stdin,
            capture_output=True,
            text=True,
            errors="backslashreplace",  # a damaged dump makes pg_restore print any bytes
            check=False,
            timeout=timeout,
            **more,
        )
    except subprocess.TimeoutExpired as error:
        words = (error.stderr or b"no output").decode(errors="backslashreplace").strip()[-500:]
        raise ControlError(f"{' '.join(arguments[:2])} did not end within {timeout:g} s: {words}") from error
    except (OSError, ValueError) as error:
        raise _not_started(arguments, error) from error
    if done.returncode not in accept:
        raise _failure(arguments, done.returncode, done.stderr.strip() or done.stdout.strip())
    return done  # type: ignore[no-any-return]


def lines(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a program and give what it prints line by line, as it comes.

    Args:
        arguments: program and arguments.
        environment: variables in addition to ours.

    Raises:
        ControlError: it is not installed, or ended with an error; after its last line.
    """
    with tempfile.TemporaryFile("w+", errors="backslashreplace") as errors:
        try:
            program = subprocess.Popen(
                list(arguments), env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, text=True, errors="backslashreplace",
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise _not_started(arguments, error) from error
        last = ""
        with program:
            for line in program.stdout or ():
                last = line
                yield line
        if program.returncode:
            errors.seek(0)
            raise _failure(arguments, program.returncode, errors.read().strip() or last.strip())


def _not_started(arguments: Sequence[str], error: OSError | ValueError) -> ControlError:
    """Why a program did not start: not installed, or an argument that the kernel does not accept (too long, a NUL)."""
    if isinstance(error, FileNotFoundError):
        return ControlError(f"{arguments[0]} is not installed: run the playbook again")
    return ControlError(f"{shortened(' '.join(arguments[:2]))} cannot be run: {shortened(error)}")


def _failure(arguments: Sequence[str], code: int, words: str) -> ControlError:
    return ControlError(f"{' '.join(arguments[:2])} ended with {code}: {(words or 'no output')[-2000:]}")
