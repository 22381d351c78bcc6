"""The commands for recovery points."""

from __future__ import annotations

import time
from typing import Any

import click

from mlflowctl.cli import operation
from mlflowctl.cli.console import Output, command, group
from mlflowctl.core import lock, state
from mlflowctl.core.config import Config
from mlflowctl.operations import verify as verification
from mlflowctl.recovery import backup as backups
from mlflowctl.recovery import base_backup as base_backups
from mlflowctl.recovery import drill as drills
from mlflowctl.recovery import leftovers as leftover_data
from mlflowctl.recovery import restore as restores
from mlflowctl.recovery import retention, swap
from mlflowctl.recovery.repository import Restic

# Its commands become commands of mlflowctl.
topic = click.Group()

REPOSITORY = click.option("--repository", metavar="NAME", help="Repository to use.  [default: the first one]")
POINT = "latest, a name from `mlflowctl points`, or a time such as 2026-11-21T06:00."
SUFFIX = "Suffix from `mlflowctl leftovers list`."


@command(topic, example="mlflowctl backup")
@click.option("--if-none", is_flag=True, help="Do nothing if this host has ever taken a recovery point.")
def backup(config: Config, output: Output, if_none: bool = False) -> int:
    """Take a recovery point of the database and the artifacts now.

    A timer does this regularly. Run it yourself before a risky change, such as an upgrade. The server stays
    available; only deletions wait.
    """
    if if_none and "success" in state.read(config.instance).get("backup", {}):
        return 0
    return operation.run(config, output, "backup", [], lambda: backups.take(config, output.log))


@command(topic, example="mlflowctl points --repository offsite")
@REPOSITORY
def points(config: Config, output: Output, repository: str | None) -> None:
    """List the recovery points, oldest first.

    Use it to choose the point for `restore`, `drill` or `verify`. Only verified points are complete for certain.
    """
    found = Restic(config.recovery.repository(repository)).points()
    listed = [{"point": p.name, "time": p.time.isoformat(), "state": p.state, "snapshot": p.snapshot} for p in found]
    output.table(listed, ("point", "time", "state"))


@command(topic, example="mlflowctl restore 20261121T020004Z --replace-live")
@REPOSITORY
@click.argument("point", required=False, help=POINT)
@click.option(
    "--replace-live", is_flag=True, help="Replace the data that this host serves. The old data is kept aside."
)
@click.option("--tls", is_flag=True, help="Also restore nginx's certificates and the tokens, for a new host.")
@click.option("--unverified", is_flag=True, help="Accept a point that was never verified, or missing artifacts.")
@click.option("--run", metavar="ID", help="Restore only the missing artifacts of this run.")
@click.option("--model", metavar="NAME/VERSION|ID", help="Restore only the missing artifacts of this model.")
@click.option("--database-only", is_flag=True, help="Leave the artifacts as they are.")
@click.option("--database-at", metavar="TIME|point", help="Take the database as of this time from the WAL archive.")
def restore(config: Config, output: Output, **options: Any) -> int:
    """Restore a recovery point, or the artifacts of one run or model.

    Use it when data was lost or damaged. Everything is fetched and checked before the live data is touched; the
    server then stops for a few seconds. With --database-at and no POINT, the artifacts come from the first point
    after that time.
    """
    request = restores.Request(**options)
    return operation.run(
        config, output, "restore", request.arguments(), lambda: restores.run(config, request, output.log)
    )


@command(topic, example="mlflowctl verify latest")
@REPOSITORY
@click.argument("point", required=False, help=f"{POINT}  [default: the live data]")
def verify(config: Config, output: Output, point: str | None, repository: str | None) -> int:
    """Check that no artifact is missing from the live data or from a recovery point.

    Use it when artifacts seem to be missing, or before you rely on a point. It only reads.
    """
    report = verification.run(config, point, repository)
    output.facts(report.facts())
    return report.exit_code


@command(topic, example="mlflowctl drill latest")
@REPOSITORY
@click.argument("point", default="latest", help=POINT)
def drill(config: Config, output: Output, point: str, repository: str | None) -> int:
    """Test the restore of a recovery point without touching the live data.

    A timer does this regularly. Run it yourself to see how long a restore would take. The point is restored to a
    scratch database and directory, served by a second MLflow, checked and removed.
    """
    arguments = [point, *(["--repository", repository] if repository else [])]
    return operation.run(config, output, "drill", arguments, lambda: drills.run(config, point, repository, output.log))


@command(topic, example="mlflowctl prune --dry-run")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
def prune(config: Config, output: Output, dry_run: bool) -> None:
    """Remove the recovery points that the retention rules do not keep.

    A timer does this regularly. Run it yourself when a repository needs space, or with --dry-run after a change of
    mlflow_backup_keep.
    """
    output.facts(retention.apply(config, dry_run, output.log))


@command(topic, example="mlflowctl check --full")
@click.option("--full", is_flag=True, help="Read all data instead of today's seventh of it.")
def check(config: Config, output: Output, full: bool) -> None:
    """Check the repositories for damage.

    A timer does this regularly for a seventh of the data. Run it yourself with --full when a disk or a server of a
    repository had a fault.
    """
    output.facts(verification.check_repositories(config, full, output.log))


@command(topic, example="mlflowctl base-backup", name="base-backup")
def base_backup(config: Config, output: Output) -> int:
    """Copy the database cluster into the WAL archive.

    A timer does this regularly if mlflow_postgres_wal_archive is true. Run it yourself once after you have switched the
    archive on: `restore --database-at` reaches back to the oldest base backup.
    """
    return operation.run(config, output, "base-backup", [], lambda: base_backups.take(config, output.log))


@command(topic, example="mlflowctl create-repository offsite", name="create-repository")
@click.argument("name", help="Name of the repository in mlflow_backup_repositories.")
def create_repository(config: Config, output: Output, name: str) -> None:
    """Create a repository again after the old one was lost.

    The first backup creates a repository by itself. One that has vanished is never replaced silently, because its
    disk may only be unmounted. Use this when it is lost for good.
    """
    repository = Restic(config.recovery.repository(name))
    with lock.exclusive(config.instance.state_path, "creation of a repository"):
        missing = bool(repository.absent())
        if missing:
            repository.create()
    output.facts({"repository": name, "created": missing})


@command(topic, example="mlflowctl recover")
def recover(config: Config, output: Output) -> None:
    """Finish or undo a restore that was interrupted while it replaced the live data.

    The restore's unit calls it when it ends. Run it yourself if the host lost power during a restore. It does
    nothing otherwise.
    """
    with lock.exclusive(config.instance.state_path, "recovery of a restore"):
        swap.recover(config, output.log)


leftovers = group(
    topic,
    "leftovers",
    "List, delete or put back data that was set aside.\n\n"
    "`restore --replace-live` sets the old data aside, and `orphans quarantine` the files that it finds. "
    "It stays until you delete it.",
)


@command(leftovers, example="mlflowctl leftovers list", name="list")
def leftovers_list(config: Config, output: Output) -> None:
    """List what restores and quarantines have set aside: kind, size, age.

    Use it to find what takes space on the volume, and the suffix for `leftovers delete` and `leftovers put-back`.
    """
    output.table(leftover_data.listing(config, time.time()), ("suffix", "kind", "holds", "size", "age"))


@command(leftovers, example="mlflowctl leftovers delete 20261121083000", name="delete")
@click.argument("suffix", help=SUFFIX)
def leftovers_delete(config: Config, output: Output, suffix: str) -> int:
    """Delete what one restore or quarantine has set aside.

    Use it when you are sure that nobody needs the old data. It cannot be undone.
    """
    arguments = ["delete", "--", suffix]
    return operation.run(
        config, output, "leftovers", arguments, lambda: leftover_data.delete(config, suffix, output.log)
    )


@command(leftovers, example="mlflowctl leftovers put-back 20261121083000", name="put-back")
@click.argument("suffix", help=SUFFIX)
def leftovers_put_back(config: Config, output: Output, suffix: str) -> int:
    """Move the files of one quarantine back into the artifact store.

    Use it when somebody misses a file that `orphans quarantine` has moved. Files that exist are not overwritten.
    """
    arguments = ["put-back", "--", suffix]
    return operation.run(
        config, output, "leftovers", arguments, lambda: leftover_data.put_back(config, suffix, output.log)
    )
