"""The command line. Every command has ``--json`` and the same exit codes."""

from __future__ import annotations

import os

import click

from mlflowctl import __version__
from mlflowctl.cli import access, maintenance, recovery, upgrade
from mlflowctl.core import config as configuration
from mlflowctl.core import units

# Headings of the help, each with its commands.
TOPICS = {
    "Recovery points": recovery.topic,
    "Users, tokens and certificates": access.topic,
    "Maintenance": maintenance.topic,
    "Upgrade": upgrade.topic,
}

HELP = """Operate the MLflow server on this host.

Take and restore recovery points of the database and the artifacts, manage tokens and certificates, find and clean up
problems, and test an upgrade. Users and settings come from the playbook.

Run it as root. Long operations run as systemd units, so a lost connection does not interrupt them.
`mlflowctl COMMAND --help` explains a command, with an example. Every command takes --json."""

# Each code as errors.py raises it; 3 is of ``verify``.
EXIT_CODES = """\b
Exit codes, of every command:
  0   success
  1   it failed, or found a problem
  2   refused: nothing was changed
  3   verify: data is lost
  75  another operation is running"""


class Main(click.Group):
    """A group that lists its commands by topic, in the order in which they are defined."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each topic."""
        width = max(len(name) for topic in TOPICS.values() for name in topic.commands)
        for heading, topic in TOPICS.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(width), entry.get_short_help_str(200)) for name, entry in topic.commands.items()]
                )


@click.group(cls=Main, help=HELP, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """The group of all commands."""
    os.umask(0o077)


for _topic in TOPICS.values():
    main.commands.update(_topic.commands)


@main.command(name="in-unit", hidden=True)
@click.argument("operation")
def in_unit(operation: str) -> None:
    """What the operation's unit runs: the operation, with the arguments that were left for it."""
    main([operation, *units.arguments(configuration.load().instance, operation)])
