"""What would a release do to the database? Its migrations, tried on a copy, while the server serves.

Nothing of it touches live data: a scratch database of its own, and the other
release's interpreter, which never hears of the live one.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from mlflowctl.core import lock, service
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError, ProblemFound, Refused
from mlflowctl.core.facts import Facts
from mlflowctl.core.process import run as run_program
from mlflowctl.recovery import preflight
from mlflowctl.recovery.backup import Say
from mlflowctl.stores.database import postgresql
from mlflowctl.upgrade import patches


@dataclass(frozen=True)
class Release:
    """A release on this host, served or not.

    Attributes:
        path: its virtualenv.
        version: of MLflow.
        head: the schema revision that it needs.
    """

    path: Path
    version: str
    head: str


def installed(config: Config) -> list[Release]:
    """The releases on this host whose installation is complete, the newest installation last."""
    described = sorted(config.root_path.glob("releases/*/release.json"), key=lambda path: path.stat().st_mtime)
    facts = [(path.parent, json.loads(path.read_text())) for path in described]
    return [Release(path, fact["version"], fact["schema_head"]) for path, fact in facts]


def find(config: Config, version: str) -> Release:
    """The release of a version.

    Raises:
        Refused: it is not on this host; says which are, and how it gets there.
    """
    releases = installed(config)
    for release in reversed(releases):
        if release.version == version:
            return release
    known = ", ".join(sorted({release.version for release in releases}))
    raise Refused(
        f"MLflow {version} is not installed on this host, which has {known or 'none'}: "
        f"run playbooks/upgrade_check.yml with mlflow_version={version}, which installs it beside the one that serves"
    )


def run(config: Config, version: str, say: Say) -> Facts:
    """Bring a copy of the database to a release, and say how that went.

    Returns:
        Facts: release, revisions, seconds, and what becomes of our indexes.

    Raises:
        Busy: another transaction runs.
        ProblemFound: the release cannot have this database or may not serve, or rows are gone afterwards.
        ControlError: it cannot be tried here.
    """
    release = find(config, version)
    with lock.exclusive(config.state_path, "upgrade-check"):
        _remove(config)
        with postgresql.connect(config) as connection:
            found = postgresql.revision(connection)
        facts: Facts = {"release": version, "from": found, "to": release.head, "migration": found != release.head}
        facts["patches_off"], refusal = patches.ask(config, release.path)
        if facts["migration"]:
            preflight.check_dump(config)
            refuse_without_space(config)
            try:
                facts |= _rehearse(config, release, say)
            except ProblemFound as error:
                raise ProblemFound(f"{error}; and {refusal}" if refusal else str(error)) from error
        else:
            say(f"MLflow {version} takes the database as it is")
        if refusal:
            raise ProblemFound(f"MLflow {version}: {refusal}")
        return facts


def refuse_without_space(config: Config) -> None:
    """Refuse if the database's own disk has no room for a copy that is written twice.

    Raises:
        ControlError: it has less.
    """
    with postgresql.connect(config, postgresql.ADMIN) as connection:
        (where, size), *_ = connection.execute(
            "SELECT current_setting('data_directory'), pg_database_size(%s::name)", (config.database,)
        ).fetchall()
    free, need = shutil.disk_usage(where).free, 2 * size + preflight.SPARE_BYTES
    if free < need:
        raise ControlError(
            f"{where} has {free >> 20} MiB free and a copy that is migrated may need {need >> 20} MiB: free some space"
        )


def _copy(config: Config) -> tuple[str, Path]:
    """Name of the scratch database, and the dump that it comes from."""
    return f"{config.database}_upgrade_check", config.state_path / "upgrade-check.dump"


def _remove(config: Config) -> None:
    """Remove both, also those of a check that was killed."""
    name, dump = _copy(config)
    for path in (dump, dump.with_suffix(".partial")):
        path.unlink(missing_ok=True)
    postgresql.drop(config, name)


def _rehearse(config: Config, release: Release, say: Say) -> Facts:
    name, dump = _copy(config)
    try:
        say("copying the database")
        with postgresql.snapshot(config) as (connection, snapshot):
            before = postgresql.tables(connection)
            postgresql.dump(config, snapshot, dump)
        postgresql.create(config, name)
        postgresql.restore(config, dump, name)
        say(f"migrating the copy with MLflow {release.version}")
        facts = _migrate(config, release, name)
        with postgresql.connect(config, name) as connection:
            after = postgresql.tables(connection)
    finally:
        _remove(config)
    gone = [
        f"{table}: {rows} rows, then {after.get(table, 0)}"
        for table, rows in before.items()
        if after.get(table, 0) < rows
    ]
    if gone:
        raise ProblemFound(f"MLflow {release.version} migrates the database and removes rows: {'; '.join(gone)}")
    return facts


def _migrate(config: Config, release: Release, name: str) -> Facts:
    """Migrate a scratch database as the service's user; returns what ``mlflow_host.database.rehearsal`` says.

    Raises:
        ProblemFound: the release cannot have it.
    """
    runtime = Path(f"/run/{config.unit}-upgrade-check")
    environment = service.environment(config) | service.pointed_at(config, name, runtime) | {"HOME": str(runtime)}
    done = run_program(
        [str(release.path / "bin/python"), "-m", "mlflow_host.database.rehearsal"],
        environment,
        accept=(0, 1),
        cwd="/",
        **service.user(config),
    )
    if done.returncode:
        *_, reason = done.stderr.strip().splitlines() or ["it does not say why"]
        raise ProblemFound(f"MLflow {release.version} cannot have this database: {reason}")
    facts: Facts = json.loads(done.stdout.strip().splitlines()[-1])
    return facts
