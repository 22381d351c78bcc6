"""Write docs/reference/commands.md from the commands of mlflowctl. ``make readme`` calls it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "commands.md"


def commands() -> str:
    """Markdown: a list of the commands of each topic, and a section for each command."""
    sys.path.insert(0, str(ROOT / "files" / "mlflowctl"))
    from mlflowctl.cli import main

    root = click.Context(main.main, info_name="mlflowctl")
    parts = []
    for heading, topic in main.TOPICS.items():
        parts.append(f"## {heading}")
        for name, command in topic.commands.items():
            parts += _section(click.Context(command, info_name=name, parent=root), "###")
    return "\n\n".join(parts)


def _section(context: click.Context, level: str) -> Iterator[str]:
    """A command, and those of a group."""
    command = context.command
    yield f"{level} {context.command_path}"
    yield "\n\n".join(" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n"))
    if isinstance(command, click.Group):
        for name, entry in command.commands.items():
            yield from _section(click.Context(entry, info_name=name, parent=context), level + "#")
        return
    yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```"
    arguments = [entry for entry in command.params if isinstance(entry, click.Argument)]
    options = [entry for entry in command.params if isinstance(entry, click.Option) and entry.name != "json"]
    records = [record for entry in (*arguments, *options) if (record := entry.get_help_record(context))]
    if records:
        yield "\n".join(f"- `{name}`: {' '.join(text.split())}" for name, text in records)
    yield f"Example: `{(command.epilog or '').splitlines()[-1].strip()}`"
