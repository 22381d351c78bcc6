"""The commands for the health of the server, notifications and cleaning up."""

from __future__ import annotations

import click

from mlflowctl.cli import operation
from mlflowctl.cli.console import Output, command, group
from mlflowctl.core import state
from mlflowctl.core.config import Config
from mlflowctl.core.errors import Refused
from mlflowctl.core.process import run as run_program
from mlflowctl.operations import gc as garbage
from mlflowctl.operations import health
from mlflowctl.operations import orphans as orphan_files
from mlflowctl.operations import status as states
from mlflowctl.operations import watch as watching

# Its commands become commands of mlflowctl.
topic = click.Group()


@command(topic, example="mlflowctl status")
def status(config: Config, output: Output) -> int:
    """Show problems of the server and the last result of each operation.

    Start here when something is wrong. The exit code is 1 if there is a problem, so monitoring can use it.
    """
    recorded = state.read(config.instance)
    facts = states.facts(config, recorded)
    output.facts(facts)
    if not output.json:
        for path, free in facts["free_bytes"].items():
            click.echo(f"{path}: {free >> 20} MiB free")
        for name, entry in recorded.items():
            when = {kind: entry.get(kind, {}).get("at", "never") for kind in ("success", "failure")}
            click.echo(f"{name}: last success {when['success']}, last failure {when['failure']}")
    return 1 if facts["problems"] else 0


@command(topic, example="mlflowctl acknowledge restore")
@click.argument("operation", help="Operation that failed, as `mlflowctl status` names it, such as restore.")
def acknowledge(config: Config, output: Output, operation: str) -> None:
    """Acknowledge the last failure of an operation.

    Use it when you know of a failure and do not repeat the operation: `status` and notifications then leave it out.
    """
    unit = states.subject(config.instance, operation)
    known = state.acknowledge(config.instance, operation.replace("-", "_"))
    if health.states([unit])[unit].get("ActiveState") == "failed":
        known = run_program(["systemctl", "reset-failed", unit]).returncode == 0
    if not known:
        raise Refused(f"{operation!r} has no failure to acknowledge: see mlflowctl status")
    watching.acknowledge(config.instance, unit)
    output.facts({"acknowledged": operation})


@command(topic, example="mlflowctl gc --older-than 30d --dry-run")
@click.option(
    "--older-than",
    metavar="AGE",
    help="Minimum time since deletion, such as 30d or 12h.  [default: mlflow_backup_gc_older_than]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
def gc(config: Config, output: Output, older_than: str | None, dry_run: bool) -> int:
    """Permanently remove runs, models and experiments that users have deleted.

    MLflow only marks them as deleted. Use it to free space; check with --dry-run first. Afterwards only an older
    recovery point has them.
    """
    age = older_than or config.recovery.gc_older_than
    arguments = ["--older-than", age, *["--dry-run"] * dry_run]
    return operation.run(config, output, "gc", arguments, lambda: garbage.run(config, age, dry_run, output.log))


orphans = group(
    topic,
    "orphans",
    "Find artifact files that no row of the database refers to.\n\n"
    "They are what interrupted uploads and deletions have left. Removing them frees space.",
)


@command(orphans, example="mlflowctl orphans list", name="list")
def orphans_list(config: Config, output: Output) -> None:
    """Count the orphaned files, and list their directories.

    Use it to see whether a quarantine is worth it. It only reads.
    """
    output.facts(orphan_files.report(config))


@command(orphans, example="mlflowctl orphans quarantine --older-than 7d", name="quarantine")
@click.option(
    "--older-than",
    metavar="AGE",
    default="7d",
    show_default=True,
    help="Minimum time since the last change, such as 7d or 12h.",
)
def orphans_quarantine(config: Config, output: Output, older_than: str) -> int:
    """Move orphaned files out of the artifact store, on the same volume.

    Use it to clean up safely: wait a while, then `leftovers delete` frees the space, and `leftovers put-back` undoes
    it if somebody misses a file.
    """
    arguments = ["quarantine", "--older-than", older_than]
    return operation.run(
        config, output, "orphans", arguments, lambda: orphan_files.quarantine(config, older_than, output.log)
    )


@command(topic, example="mlflowctl watch")
def watch(config: Config, output: Output) -> None:
    """Send notifications for new problems and for those that are over.

    A timer runs it every minute. Run it yourself to send them right away. Each problem is reported once.
    """
    watching.run(config, output.log)


@command(topic, example="mlflowctl notify mlflow-backup.service")
@click.argument("unit", help="Name of the systemd unit that failed.")
def notify(config: Config, output: Output, unit: str) -> None:
    """Send a notification that a unit has failed.

    The units call it when they fail. Run it yourself to test the notifications.
    """
    watching.failed(config, unit, output.log)
