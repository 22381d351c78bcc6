"""Test the database migrations of another release on a copy, while the server runs.

Live data is not touched: the copy is a scratch database, and the other release's
interpreter is not given the address of the live one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mlflowctl import stores
from mlflowctl.core import lock, service
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.errors import ControlError, ProblemFound, Refused
from mlflowctl.core.facts import Facts
from mlflowctl.core.process import run as run_program
from mlflowctl.core.progress import Log
from mlflowctl.recovery import preflight
from mlflowctl.stores.database.base import Database
from mlflowctl.upgrade import patches


@dataclass(frozen=True)
class Release:
    """A release that is installed on this host.

    Attributes:
        path: its virtualenv.
        version: of MLflow.
        head: the schema revision that it needs.
    """

    path: Path
    version: str
    head: str


def installed(instance: Instance) -> list[Release]:
    """The releases on this host whose installation is complete, the newest installation last."""
    described = sorted(instance.root_path.glob("releases/*/release.json"), key=lambda path: path.stat().st_mtime)
    facts = [(path.parent, json.loads(path.read_text())) for path in described]
    return [Release(path, fact["version"], fact["schema_head"]) for path, fact in facts]


def find(instance: Instance, version: str) -> Release:
    """The release of a version.

    Raises:
        Refused: it is not installed; the message says which are, and how to install it.
    """
    releases = installed(instance)
    for release in reversed(releases):
        if release.version == version:
            return release
    known = ", ".join(sorted({release.version for release in releases}))
    raise Refused(
        f"MLflow {version} is not installed on this host, which has {known or 'none'}: "
        f"run playbooks/upgrade_check.yml with mlflow_version={version}, which installs it beside the current one"
    )


def run(config: Config, version: str, log: Log) -> Facts:
    """Migrate a copy of the database to a release.

    Returns:
        Facts: release, revisions, seconds, and what happens to our indexes.

    Raises:
        Busy: another operation runs.
        ProblemFound: the migration fails or loses rows, or a safety patch does not fit the release.
        ControlError: the test cannot run.
    """
    release = find(config.instance, version)
    with lock.exclusive(config.instance.state_path, "upgrade-check"):
        _remove(config)
        with stores.database.of(config).reader() as reader:
            found = reader.revision()
        facts: Facts = {"release": version, "from": found, "to": release.head, "migration": found != release.head}
        facts["patches_off"], refusal = patches.query(config.instance, release.path)
        if facts["migration"]:
            preflight.check_dump(config)
            refuse_without_space(stores.database.of(config))
            try:
                facts |= _rehearse(config, release, log)
            except ProblemFound as error:
                raise ProblemFound(f"{error}; and {refusal}" if refusal else str(error)) from error
        else:
            log(f"MLflow {version} needs no migration")
        if refusal:
            raise ProblemFound(f"MLflow {version}: {refusal}")
        return facts


def refuse_without_space(database: Database) -> None:
    """Refuse if the database's disk has no space for a copy that is written twice.

    Raises:
        ControlError: there is less space.
    """
    space = database.space()
    need = 2 * space.size + preflight.SPARE_BYTES
    if space.free is not None and space.free < need:
        raise ControlError(
            f"{space.where} has {space.free >> 20} MiB free and a copy that is migrated may need {need >> 20} MiB: "
            "free some space"
        )


def _copy(config: Config) -> tuple[str, Path]:
    """Name of the scratch database, and the path of its dump."""
    return stores.database.of(config).scratch("upgrade_check"), config.instance.state_path / "upgrade-check.dump"


def _remove(config: Config) -> None:
    """Remove both, also those that an interrupted check has left."""
    name, dump = _copy(config)
    for path in (dump, dump.with_suffix(".partial")):
        path.unlink(missing_ok=True)
    stores.database.of(config).drop(name)


def _rehearse(config: Config, release: Release, log: Log) -> Facts:
    database, (name, dump) = stores.database.of(config), _copy(config)
    try:
        log("copying the database")
        with database.snapshot() as snapshot:
            before = snapshot.rows()
            snapshot.dump(dump)
        database.restore(dump, name)
        log(f"migrating the copy with MLflow {release.version}")
        facts = _migrate(config, release, name)
        with database.reader(name) as reader:
            after = reader.rows()
    finally:
        _remove(config)
    gone = [
        f"{table}: {rows} rows, then {after.get(table, 0)}"
        for table, rows in before.items()
        if after.get(table, 0) < rows
    ]
    if gone:
        raise ProblemFound(f"MLflow {release.version} loses rows when it migrates the database: {'; '.join(gone)}")
    return facts


def _migrate(config: Config, release: Release, name: str) -> Facts:
    """Migrate a scratch database as the service's user; returns the output of ``mlflow_host.database.rehearsal``.

    Raises:
        ProblemFound: the migration fails.
    """
    runtime = Path(f"/run/{config.instance.unit}-upgrade-check")
    environment = (
        service.environment(config.instance)
        | stores.database.of(config).environment(name, runtime)
        | {"HOME": str(runtime)}
    )
    done = run_program(
        [str(release.path / "bin/python"), "-m", "mlflow_host.database.rehearsal"],
        environment,
        accept=(0, 1),
        cwd="/",
        **service.user(config.instance),
    )
    if done.returncode:
        *_, reason = done.stderr.strip().splitlines() or ["no reason given"]
        raise ProblemFound(f"MLflow {release.version} cannot migrate this database: {reason}")
    facts: Facts = json.loads(done.stdout.strip().splitlines()[-1])
    return facts
