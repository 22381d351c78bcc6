"""What all commands share: output, ``--json``, exit codes (0 fine, 1 failed, 2 refused, 3 lost, 75 busy)."""

from __future__ import annotations

import json as json_module
import os
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlflowctl.core import config as configuration
from mlflowctl.core.errors import ControlError
from mlflowctl.core.facts import Facts
from mlflowctl.core.printable import printable


class Output:
    """Progress for people, facts for programs."""

    def __init__(self, json: bool) -> None:
        self.json = json
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def log(self, text: str) -> None:
        """One line of progress: a spinner's place on a terminal, a line in the journal."""
        self._console.print(printable(text, keep="\n"), markup=False)

    def facts(self, facts: Facts | list[Facts]) -> None:
        """The result; an error goes to standard error, unless a program reads it."""
        if self.json:
            click.echo(json_module.dumps(facts, indent=2, default=str))
            return
        for fact in facts if isinstance(facts, list) else [facts]:
            for name, value in fact.items():
                if name == "error":
                    _echo("mlflowctl: " + printable(value, keep="\n"), err=True)
                elif isinstance(value, list):
                    click.echo(f"{name}: {len(value) or 'none'}")
                    if value and all(isinstance(item, dict) for item in value):
                        self.table(value)
                        continue
                    for item in value:
                        _echo(f"  {printable(item)}")
                elif not isinstance(value, dict):
                    _echo(f"{name}: {printable(value)}")

    def table(self, rows: list[Facts], columns: tuple[str, ...] = ()) -> None:
        """Rows as a table, or as a list for programs. Nothing that a client has chosen moves a terminal.

        Args:
            rows: each with the same names.
            columns: their names, in order; those of the first row if not given.
        """
        if self.json:
            self.facts(rows)
            return
        columns = columns or tuple(rows[0] if rows else ())
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*(Text(printable(row.get(column, ""))) for column in columns))
        console = Console() if sys.stdout.isatty() else Console(width=WIDE)
        with console.capture() as shown:
            console.print(table)
        _echo(shown.get().rstrip("\n"))


# Wider than any row: what is piped is not cut.
WIDE = 1 << 16


def _echo(text: str, err: bool = False) -> None:
    """Print, also where the terminal's encoding lacks a character."""
    encoding = (sys.stderr if err else sys.stdout).encoding or "ascii"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)


def unexpected(error: Exception) -> str:
    """An error that nobody thought of, in one sentence; with MLFLOWCTL_TRACEBACK=1 all of it is on standard error."""
    if os.environ.get("MLFLOWCTL_TRACEBACK"):
        traceback.print_exception(error)
    words = " ".join(str(error).split()) or "it says nothing"
    return f"{type(error).__name__}: {words}. MLFLOWCTL_TRACEBACK=1 shows where"


def group(parent: click.Group, name: str, text: str) -> click.Group:
    """A command that only holds others."""
    made = click.Group(name=name, help=text)
    parent.add_command(made)
    return made


def command(
    parent: click.Group, load: Callable[[], Any] = configuration.load, *, example: str, **more: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with ``--json``, our exit codes, and what ``load`` returns as its first argument.

    Its docstring is its help: the first paragraph says what it does, the second when to use it.

    Args:
        parent: the group that it is added to.
        load: reads what the command works on.
        example: a whole command line, shown at the end of the help.
        more: further arguments of ``click.Group.command``.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        @click.option("--json", is_flag=True, help="Print the result as JSON.")
        @wraps(function)
        def run(json: bool, **arguments: Any) -> None:
            output = Output(json)
            try:
                code = function(load(), output, **arguments)
            except ControlError as error:
                output.facts({"error": str(error)})
                sys.exit(error.exit_code)
            except Exception as error:
                output.facts({"error": unexpected(error)})
                sys.exit(ControlError.exit_code)
            sys.exit(code or 0)

        return parent.command(epilog=f"\b\nExample:\n  {example}", **more)(run)

    return decorate
