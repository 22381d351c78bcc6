"""A recovery point brought back beside what lives: fetched, checked, and owned by the service."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlflowctl import backup, bundle, database, references
from mlflowctl.backup import Say
from mlflowctl.checker import Files, Report, compare, compare_rows, walk
from mlflowctl.config import Config
from mlflowctl.errors import ControlError, Refused
from mlflowctl.process import run
from mlflowctl.repository import Point, Restic

# What of the bundle replaces what the host has: without the keys, encrypted
# rows cannot be read; everything else comes from the playbook.
SECRETS = ("kek_passphrase", "webhook_key", "flask_key")
SPARE_BYTES = 256 << 20


@dataclass(frozen=True)
class Place:
    """Where a copy of a point goes.

    Attributes:
        point: which one.
        root: directory that restic restores below.
        database: name of the scratch database.
    """

    point: Point
    root: Path
    database: str


@dataclass(frozen=True)
class Copy:
    """A restored copy that is not live.

    Attributes:
        place: where it is.
        config: the instance.
        facts: the point's own manifest.
    """

    place: Place
    config: Config
    facts: dict[str, Any]

    @property
    def store(self) -> Path:
        """The restored artifacts."""
        return self.place.root / str(self.facts["store"]).lstrip("/")

    @property
    def stage(self) -> Path:
        """The restored dump, manifest and bundle."""
        return self.place.root / str(self.config.stage).lstrip("/")


def fetch(config: Config, repository: Restic, place: Place, say: Say) -> Copy:
    """Restore the files and the dump of a point to a place; what lies there is removed first.

    Raises:
        ControlError: too little space, another release, a damaged dump.
    """
    point, root, name = place.point, place.root, place.database
    shutil.rmtree(root, ignore_errors=True)
    database.drop(config, name)
    root.mkdir(mode=0o700)
    # The small part first: it says whether the big one is worth fetching.
    stage = str(config.stage)
    repository.restore(point.snapshot, root, include=[stage])
    facts = json.loads((root / stage.lstrip("/") / backup.FACTS).read_text())
    copy = Copy(place, config, facts)
    refuse_other_release(config, facts)
    listing = backup.listing(_as_taken(config, facts), repository, point.snapshot)
    free = shutil.disk_usage(root).free
    need = listing.size + facts["dump_bytes"] + SPARE_BYTES
    if free < need:
        shutil.rmtree(root)
        raise ControlError(
            f"{config.volume_path} has {free >> 20} MiB free and the restore needs {need >> 20} MiB: free some space"
        )
    dump = copy.stage / backup.DUMP
    if database.sha256(dump) != facts["sha256"]:
        raise ControlError(f"the dump of point {point.name} is damaged: its SHA-256 differs. Take another point")
    say(f"restoring {len(listing.sizes)} files, {listing.size} bytes")
    repository.restore(point.snapshot, root, include=[facts["store"]])
    copy.store.mkdir(parents=True, exist_ok=True)
    say("restoring the database")
    database.create(config, name)
    database.restore(config, dump, name)
    return copy


def _as_taken(config: Config, facts: dict[str, Any]) -> Config:
    """The instance with the volume where it was when the point was taken."""
    return replace(config, volume_path=Path(facts["store"]).parent)


def refuse_other_release(config: Config, facts: dict[str, Any]) -> None:
    """Refuse a point that the installed software cannot serve.

    Raises:
        ControlError: another schema revision, or an older pg_restore.
    """
    head = backup.release_head(config)
    if facts["revision"] != head:
        raise Refused(
            f"the point needs release {facts['release']} (schema revision {facts['revision']}), and this host has "
            f"revision {head}: install that MLflow version with the playbook first (mlflow_version), then restore"
        )
    client = database.tool_major("pg_restore")
    if client < facts["postgresql"]:
        raise ControlError(
            f"the point is of PostgreSQL {facts['postgresql']} and pg_restore of {client}: use a newer host"
        )


def check(copy: Copy, repository: Restic, say: Say) -> Report:
    """The checker over the whole copy: references, files, rows, revision."""
    say("checking the copy")
    expected = backup.listing(_as_taken(copy.config, copy.facts), repository, copy.place.point.snapshot)
    report = compare(references.read(copy.stage / backup.MANIFEST), Files(walk(copy.store)), expected)
    with database.connect(copy.config, copy.place.database) as connection:
        report.lost += compare_rows(copy.facts["rows"], database.tables(connection))
        if (found := database.revision(connection)) != copy.facts["revision"]:
            report.lost.append(f"schema revision {copy.facts['revision']} expected, {found or 'none'} found")
    for name in SECRETS:
        if not secret(copy, name).is_file():
            report.lost.append(f"secret {name} is not in the point: what it encrypts cannot be read")
    return report


def secret(copy: Copy, name: str) -> Path:
    """A secret of the restored bundle."""
    return copy.stage / bundle.NAME / str(copy.config.config_path).lstrip("/") / "secrets" / name


def own(copy: Copy) -> None:
    """Give the artifacts to the service by name: numbers differ between hosts."""
    for directory, _, files in os.walk(copy.store):
        shutil.chown(directory, copy.config.user, copy.config.group)
        os.chmod(directory, 0o2770)  # noqa: S103 - setgid, shared with the proxy alone
        for file in files:
            path = Path(directory, file)
            if not path.is_symlink():
                shutil.chown(path, copy.config.user, copy.config.group)


def put_tls(copy: Copy) -> None:
    """Put back the certificates that nginx had, with their owners by name, and let nginx read them.

    Clients of a new host then trust it as they did the old one.
    """
    bundled = copy.stage / bundle.NAME
    owners = json.loads((bundled / "point.json").read_text())["owners"]
    for name, (user, group, mode) in owners.items():
        target = Path(name)
        if target.parent.name != "tls":
            continue
        partial = target.with_name(f"{target.name}.partial")
        shutil.copyfile(bundled / name.lstrip("/"), partial)
        shutil.chown(partial, user, group)
        partial.chmod(int(mode, 8))
        partial.rename(target)
    run(["systemctl", "reload", "nginx.service"])
