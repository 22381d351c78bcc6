"""The command line. Every command has ``--json`` and the same exit codes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import click

from mlflowctl import __doc__ as about
from mlflowctl import __version__
from mlflowctl.cli import access
from mlflowctl.cli.console import Output, command, unexpected
from mlflowctl.core import config as configuration
from mlflowctl.core import lock, state, units
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.facts import Facts
from mlflowctl.core.process import run as run_program
from mlflowctl.operations import gc as garbage
from mlflowctl.operations import health
from mlflowctl.operations import orphans as orphan_files
from mlflowctl.operations import status as states
from mlflowctl.operations import verify as verification
from mlflowctl.operations import watch as watching
from mlflowctl.recovery import backup as backups
from mlflowctl.recovery import drill as drills
from mlflowctl.recovery import leftovers as leftover_data
from mlflowctl.recovery import restore as restores
from mlflowctl.recovery import retention, swap
from mlflowctl.recovery.repository import Restic
from mlflowctl.stores.database import archive
from mlflowctl.upgrade import check as upgrade_checks

# Each code as errors.py raises it; 3 is of ``verify``.
EXIT_CODES = """\b
Exit codes, of every command:
  0   fine
  1   it failed, or found a problem
  2   refused: nothing was begun
  3   verify: something is lost
  75  another operation is running"""


@click.group(help=about, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """The group of all commands."""
    os.umask(0o077)


main.commands.update(access.top.commands)


def _operation(
    config: configuration.Config, output: Output, operation: str, arguments: list[str], perform: Callable[[], Facts]
) -> int:
    """Perform an operation inside its unit; outside of it, start the unit and show what it does."""
    if not units.inside(config, operation):
        return units.start(config, operation, arguments, output)
    try:
        facts, code = perform(), 0
    except Refused as error:
        facts, code = {"error": str(error)}, error.exit_code
        if not units.ordered():
            # Nobody reads the answer, so it must not look like a success.
            code = ControlError.exit_code
            state.record(config, operation.replace("-", "_"), False, error=str(error))
    except ControlError as error:
        facts, code = {"error": str(error)}, error.exit_code
    except Exception as error:
        facts, code = {"error": unexpected(error)}, ControlError.exit_code
    units.leave_result(config, operation, facts, code)
    output.facts({"error": facts["error"]} if "error" in facts else {})
    return code


@command(main, name="base-backup")
def base_backup(config: configuration.Config, output: Output) -> int:
    """Copy the database cluster into the WAL archive, as a base for replays."""
    return _operation(config, output, "base-backup", [], lambda: archive.base_backup(config, output.say))


REPOSITORY = click.option("--repository", metavar="NAME", help="Which repository; the first one if not given.")


@command(main)
@click.option("--if-none", is_flag=True, help="Only if none was ever taken on this host.")
def backup(config: configuration.Config, output: Output, if_none: bool = False) -> int:
    """Take one recovery point of database and artifacts now."""
    if if_none and "success" in state.read(config).get("backup", {}):
        return 0
    return _operation(config, output, "backup", [], lambda: backups.take(config, output.say))


@command(main)
@REPOSITORY
@click.argument("point", required=False)
@click.option("--replace-live", is_flag=True, help="Put aside what this host serves, and serve the point.")
@click.option("--tls", is_flag=True, help="Also the certificates that nginx had, and the tokens, for a new host.")
@click.option("--unverified", is_flag=True, help="Accept a point that was never verified, or missing artifacts.")
@click.option("--run", metavar="ID", help="Only this run's artifacts, those that are missing.")
@click.option("--model", metavar="NAME/VERSION|ID", help="Only this model's artifacts, those that are missing.")
@click.option("--database-only", is_flag=True, help="Leave the artifacts as they are.")
@click.option("--database-at", metavar="TIME|point", help="The database as of then, out of the WAL archive.")
def restore(config: configuration.Config, output: Output, **wishes: Any) -> int:
    """Restore POINT: latest, a name, or a time such as 2026-11-21T06:00.

    With --database-at and no POINT, artifacts come from the first point after that time.
    """
    order = restores.Order(**wishes)
    return _operation(config, output, "restore", order.arguments(), lambda: restores.run(config, order, output.say))


@command(main)
@REPOSITORY
@click.argument("point", default="latest")
def drill(config: configuration.Config, output: Output, point: str, repository: str | None) -> int:
    """Rehearse the restore of POINT beside the live server."""
    arguments = [point, *(["--repository", repository] if repository else [])]
    return _operation(config, output, "drill", arguments, lambda: drills.run(config, point, repository, output.say))


@command(main, name="upgrade-check")
@click.argument("version")
def upgrade_check(config: configuration.Config, output: Output, version: str) -> int:
    """Try the migrations of MLflow VERSION on a copy of the database, while the server serves."""
    return _operation(
        config, output, "upgrade-check", [version], lambda: upgrade_checks.run(config, version, output.say)
    )


@command(main)
@REPOSITORY
def points(config: configuration.Config, output: Output, repository: str | None) -> None:
    """List the recovery points, oldest first."""
    found = Restic(config.repository(repository)).points()
    listed = [{"point": p.name, "time": p.time.isoformat(), "state": p.state, "snapshot": p.snapshot} for p in found]
    output.table(listed, ("point", "time", "state"))


@command(main)
@REPOSITORY
@click.argument("point", required=False)
def verify(config: configuration.Config, output: Output, point: str | None, repository: str | None) -> int:
    """Check the live data, or POINT in the repository, for anything lost. Only reads."""
    report = verification.run(config, point, repository)
    output.facts(report.facts())
    return report.exit_code


@command(main)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def prune(config: configuration.Config, output: Output, dry_run: bool) -> None:
    """Remove the recovery points that no rule keeps."""
    output.facts(retention.apply(config, dry_run, output.say))


@command(main)
@click.option("--full", is_flag=True, help="Read all data, not this day's seventh.")
def check(config: configuration.Config, output: Output, full: bool) -> None:
    """Read a part of the repositories and look for damage."""
    output.facts(verification.check_repositories(config, full, output.say))


@command(main)
@click.option(
    "--older-than", metavar="AGE", help="Deleted so long ago: 30d, 12h; mlflow_backup_gc_older_than if not given."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def gc(config: configuration.Config, output: Output, older_than: str | None, dry_run: bool) -> int:
    """Remove for good what users have deleted. There is no way back but an older point."""
    age = older_than or config.gc_older_than
    arguments = ["--older-than", age, *["--dry-run"] * dry_run]
    return _operation(config, output, "gc", arguments, lambda: garbage.run(config, age, dry_run, output.say))


@main.group()
def orphans() -> None:
    """Files that no row refers to."""


@command(orphans, name="list")
def orphans_list(config: configuration.Config, output: Output) -> None:
    """Report them. Removes nothing."""
    output.facts(orphan_files.report(config))


@command(orphans, name="quarantine")
@click.option("--older-than", metavar="AGE", default="7d", show_default=True, help="Unchanged so long: 7d, 12h.")
def orphans_quarantine(config: configuration.Config, output: Output, older_than: str) -> int:
    """Put them aside, on the same volume. `leftovers put-back` and `leftovers delete` do the rest."""
    arguments = ["quarantine", "--older-than", older_than]
    return _operation(
        config, output, "orphans", arguments, lambda: orphan_files.quarantine(config, older_than, output.say)
    )


@command(main, name="create-repository")
@click.argument("name")
def create_repository(config: configuration.Config, output: Output, name: str) -> None:
    """Create repository NAME anew, after the old one is gone for good."""
    repository = Restic(config.repository(name))
    with lock.exclusive(config.state_path, "creation of a repository"):
        missing = bool(repository.absent())
        if missing:
            repository.create()
    output.facts({"repository": name, "created": missing})


@command(main)
def recover(config: configuration.Config, output: Output) -> None:
    """Undo a restore that was killed in its last seconds. The units call it; harmless otherwise."""
    with lock.exclusive(config.state_path, "recovery of a restore"):
        swap.recover(config, output.say)


@command(main)
def status(config: configuration.Config, output: Output) -> int:
    """Whether the server serves, and what was backed up last; exits 1 if somebody should look at something."""
    recorded = state.read(config)
    facts = states.facts(config, recorded)
    output.facts(facts)
    if not output.json:
        for path, free in facts["free_bytes"].items():
            click.echo(f"{path}: {free >> 20} MiB free")
        for operation, entry in recorded.items():
            when = {kind: entry.get(kind, {}).get("at", "never") for kind in ("success", "failure")}
            click.echo(f"{operation}: last success {when['success']}, last failure {when['failure']}")
    return 1 if facts["problems"] else 0


@command(main)
def watch(config: configuration.Config, output: Output) -> None:
    """Tell of what has failed, or is over, since the last time. A timer runs it each minute."""
    watching.run(config, output.say)


@command(main)
@click.argument("operation")
def acknowledge(config: configuration.Config, output: Output, operation: str) -> None:
    """Say that you know of the last failure of OPERATION, such as restore: status and notifier leave it out."""
    unit = states.subject(config, operation)
    known = state.acknowledge(config, operation.replace("-", "_"))
    if health.states([unit])[unit].get("ActiveState") == "failed":
        known = run_program(["systemctl", "reset-failed", unit]).returncode == 0
    if not known:
        raise Refused(f"there is no failure of {operation!r} that nobody knows of: see mlflowctl status")
    watching.acknowledge(config, unit)
    output.facts({"acknowledged": operation})


@main.command(name="in-unit", hidden=True)
@click.argument("operation")
def in_unit(operation: str) -> None:
    """What the operation's unit runs: the operation, with the arguments that were left for it."""
    main([operation, *units.arguments(configuration.load(), operation)])


@command(main)
@click.argument("unit")
def notify(config: configuration.Config, output: Output, unit: str) -> None:
    """Tell whoever is to know that UNIT failed. The units call it."""
    watching.failed(config, unit, output.say)


@main.group()
def leftovers() -> None:
    """Data that a restore or a quarantine has put aside."""


@command(leftovers, name="list")
def leftovers_list(config: configuration.Config, output: Output) -> None:
    """List what restores and quarantines have put aside: of which kind, how big, how old."""
    output.table(leftover_data.listing(config, time.time()), ("suffix", "kind", "holds", "size", "age"))


@command(leftovers, name="delete")
@click.argument("suffix")
def leftovers_delete(config: configuration.Config, output: Output, suffix: str) -> int:
    """Delete what was put aside as SUFFIX."""
    arguments = ["delete", "--", suffix]
    return _operation(config, output, "leftovers", arguments, lambda: leftover_data.delete(config, suffix, output.say))


@command(leftovers, name="put-back")
@click.argument("suffix")
def leftovers_put_back(config: configuration.Config, output: Output, suffix: str) -> int:
    """Put the orphans that were quarantined as SUFFIX back into the store."""
    arguments = ["put-back", "--", suffix]
    return _operation(
        config, output, "leftovers", arguments, lambda: leftover_data.put_back(config, suffix, output.say)
    )
