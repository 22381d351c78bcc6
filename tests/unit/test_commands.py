"""The help of mlflowctl's commands, and their completion in bash."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner
from mlflowctl.cli import main

ROOT = Path(__file__).parents[2]
COMPLETION = ROOT / "roles/mlflow_control/templates/mlflowctl/completion.bash.j2"


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that call it."""
    for name, entry in group.commands.items():
        if isinstance(entry, click.Group):
            yield from leaves(entry, (*path, name))
        elif not entry.hidden:
            yield (*path, name), entry


COMMANDS = dict(leaves(main.main))


def test_every_command_has_a_topic() -> None:
    """Each visible command is listed once, under one heading."""
    listed = [name for topic in main.TOPICS.values() for name in topic.commands]
    assert sorted(listed) == sorted(name for name, entry in main.main.commands.items() if not entry.hidden)
    shown = CliRunner().invoke(main.main, ["--help"]).output
    for heading in main.TOPICS:
        assert f"\n{heading}:\n" in shown


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_explains_the_command(path: tuple[str, ...]) -> None:
    """What it does, when to use it, each argument, and an example that the command accepts."""
    command = COMMANDS[path]
    what, when, *_ = (command.help or "").split("\n\n")
    assert what.splitlines()[0].strip()
    assert when.strip()
    for parameter in command.params:
        assert getattr(parameter, "help", None), parameter.name
    example = (command.epilog or "").splitlines()[-1].strip()
    words = [word for word in shlex.split(example) if not word.startswith("MLFLOW_")]
    assert tuple(words[: len(path) + 1]) == ("mlflowctl", *path)
    command.make_context(path[-1], words[len(path) + 1 :])


def test_the_completion_is_that_of_the_library() -> None:
    """What the role installs is what this version of click writes."""
    source = BashComplete(main.main, {}, "mlflowctl", "_MLFLOWCTL_COMPLETE").source()
    body = [line for line in COMPLETION.read_text().splitlines() if not line.startswith(("{{", "#"))]
    assert [line for line in body if line] == [line for line in source.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["res"], ["restore"]),
        (["token", "r"], ["revoke", "rotate"]),
        (["gc", "--o"], ["--older-than"]),
        (["in-"], []),
    ],
)
def test_bash_completes_commands_and_options(tmp_path: Path, words: list[str], expected: list[str]) -> None:
    """Through bash, as on a host; hidden commands stay hidden."""
    wrapper = tmp_path / "mlflowctl"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m mlflowctl "$@"\n')
    wrapper.chmod(0o755)
    script = (
        f"source <(tail -n +2 {COMPLETION}); COMP_WORDS=(mlflowctl {shlex.join(words)}); COMP_CWORD={len(words)};"
        ' _mlflowctl_completion mlflowctl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "files" / "mlflowctl"),
    }
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == expected
