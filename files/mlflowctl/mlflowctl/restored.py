"""A recovery point brought back beside what lives: fetched, checked, and owned by the service."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflowctl import (
    access,
    archive,
    backup,
    beneath,
    bundle,
    database,
    jsonfile,
    preflight,
    references,
    tokens,
    trees,
)
from mlflowctl.backup import Say
from mlflowctl.checker import Files, Report, compare, compare_rows
from mlflowctl.config import Config
from mlflowctl.errors import ControlError, Refused
from mlflowctl.printable import shortened
from mlflowctl.process import run
from mlflowctl.repository import Point, Restic

# What of the bundle replaces what the host has: without the keys, encrypted
# rows cannot be read; everything else comes from the playbook.
SECRETS = ("kek_passphrase", "webhook_key", "flask_key")
SPARE_BYTES = 256 << 20
# Files of nginx's certificates, by the mode that the playbook gives them.
TLS_FILES = {
    "server.crt": 0o644,
    "server.key": 0o600,
    "ca.crt": 0o644,
    "ca.key": 0o600,
    "clients-ca.crt": 0o644,
    "clients.crl": 0o644,
}
# Bytes.
LARGEST_BUNDLED = 16 << 20


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
class Selection:
    """What of a point is brought back.

    Attributes:
        database_only: no artifacts.
        database_at: the database comes out of the WAL archive, as of this time; ``point``: the point's own moment.
    """

    database_only: bool = False
    database_at: str | None = None


WHOLE = Selection()


@dataclass(frozen=True)
class Copy:
    """A restored copy that is not live.

    Attributes:
        place: where it is.
        config: the instance.
        facts: the point's own manifest.
        database_only: it has no artifacts of its own: those that live are to stay.
    """

    place: Place
    config: Config
    facts: dict[str, Any]
    database_only: bool = False

    @property
    def store(self) -> Path:
        """The artifacts that the copy is to be served with."""
        if self.database_only:
            return self.config.store
        return self.place.root / str(self.facts["store"]).lstrip("/")

    @property
    def _root(self) -> Path:
        """The directory above the artifacts that only root can write."""
        return self.config.volume_path if self.database_only else self.place.root

    def walk(self) -> Iterator[tuple[str, int]]:
        """The artifacts and their sizes."""
        return beneath.walk(self._root, self.store.relative_to(self._root))

    def give(self) -> None:
        """Make the service own the artifacts."""
        owner = beneath.Owner.named(self.config.user, self.config.group)
        beneath.give(self._root, self.store.relative_to(self._root), owner)

    @property
    def stage(self) -> Path:
        """The restored dump, manifest and bundle."""
        return self.place.root / str(self.config.stage).lstrip("/")


def facts(config: Config, repository: Restic, point: Point, root: Path) -> dict[str, Any]:
    """Restore the small part of a point, dump, manifest and bundle, and read what it says of itself."""
    trees.remove(root)
    root.mkdir(mode=0o700)
    stage = str(config.stage)
    repository.restore(point.snapshot, root, include=[literal(stage)])
    found: dict[str, Any] = json.loads((root / stage.lstrip("/") / backup.FACTS).read_text())
    # Below the root it is looked for at this path.
    store = found.get("store")
    if not isinstance(store, str) or not _plain(store, config.stage):
        raise ControlError(f"point {point.name} has its artifacts at {shortened(store)}, which no host writes: refused")
    return found


def _plain(store: str, stage: Path) -> bool:
    """Whether a point's store is a directory of its own on a volume: absolute, normalized, apart from the stage."""
    path = Path(store)
    return (
        str(path) == store
        and store.isprintable()
        and store.startswith("/")
        and len(path.parts) > 2
        and ".." not in path.parts
        and not path.is_relative_to(stage)
        and not stage.is_relative_to(path)
    )


def fetch(config: Config, repository: Restic, place: Place, say: Say, what: Selection = WHOLE) -> Copy:
    """Restore the files and the dump of a point to a place; what lies there is removed first.

    Args:
        config: the instance.
        repository: where the point is.
        place: where to.
        say: progress.
        what: all of it, or not.

    Raises:
        Refused: the WAL archive does not hold that moment.
        ControlError: too little space, another release, a damaged dump.
    """
    point, root, name = place.point, place.root, place.database
    database.drop(config, name)
    # The small part first: it says whether the big one is worth fetching.
    copy = Copy(place, config, facts(config, repository, point, root), what.database_only)
    refuse_other_release(config, copy.facts)
    files = listing(repository, point, copy.facts)
    refuse_without_space(config, root, copy.facts["dump_bytes"] + (0 if what.database_only else files.size))
    dump = copy.stage / backup.DUMP
    if what.database_at:
        copy = rewind(copy, archive.target(config, what.database_at, point.name, taken(copy.facts)), say)
    elif database.sha256(dump) != copy.facts["sha256"]:
        raise ControlError(f"the dump of point {point.name} is damaged: its SHA-256 differs. Take another point")
    if not what.database_only:
        say(f"restoring {len(files.sizes)} files, {files.size} bytes")
        repository.restore(point.snapshot, root, include=[literal(copy.facts["store"])])
        with beneath.opened(root, str(copy.facts["store"]).lstrip("/"), make=True):
            pass
    say("restoring the database")
    database.create(config, name)
    database.restore(config, dump, name)
    return copy


def taken(facts: dict[str, Any]) -> datetime:
    """The moment of a point: that of its database snapshot."""
    return datetime.fromisoformat(facts["database_time"])


def rewind(copy: Copy, wanted: archive.Target, say: Say) -> Copy:
    """Put the database as of another moment in the place of the point's, with a manifest of its own.

    What the point itself calls broken at source stays that; everything else
    that this database relies on must be among the point's artifacts.
    """
    manifest = copy.stage / backup.MANIFEST
    broken = {(old.kind, old.name) for old in references.read(manifest) if not old.present}
    with (
        archive.cluster(copy.config, wanted, say) as there,
        database.snapshot(there) as (connection, snapshot),
    ):
        found = references.strong(connection, copy.config.store)
        references.write((replace(new, present=_owed(new, broken)) for new in found), manifest)
        dump = database.dump(there, snapshot, copy.stage / backup.DUMP)
        facts = copy.facts | {
            "rows": database.tables(connection),
            "revision": database.revision(connection),
            "sha256": dump.sha256,
            "dump_bytes": dump.size,
        }
    refuse_other_release(copy.config, facts)
    return replace(copy, facts=facts)


def _owed(reference: references.Reference, broken: set[tuple[str, str]]) -> bool:
    """Whether a point must hold what a reference needs: not if it leads nowhere, or was broken when it was taken."""
    nowhere = not reference.path or references.uploading(reference.path)
    return not nowhere and (reference.kind, reference.name) not in broken


def literal(path: str) -> str:
    """A path as restic's ``--include`` takes it: its patterns are Go's ``filepath.Match``."""
    return re.sub(r"([\\*?\[])", r"\\\1", path)


def listing(repository: Restic, point: Point, facts: dict[str, Any]) -> Files:
    """The files of a point's store, wherever the volume was when it was taken."""
    return backup.listing(Path(facts["store"]), repository, point.snapshot)


def refuse_without_space(config: Config, root: Path, need: int) -> None:
    """Refuse what does not fit, and remove the scratch directory.

    Args:
        config: the instance.
        root: the scratch directory, on the volume.
        need: bytes.

    Raises:
        ControlError: there is less space.
    """
    free = shutil.disk_usage(root).free
    if free < need + SPARE_BYTES:
        trees.remove(root)
        raise ControlError(
            f"{config.volume_path} has {free >> 20} MiB free and the restore needs {(need + SPARE_BYTES) >> 20} MiB: "
            "free some space"
        )


def refuse_other_release(config: Config, facts: dict[str, Any]) -> None:
    """Refuse a point that the installed software cannot serve.

    Raises:
        ControlError: another schema revision, or an older pg_restore.
    """
    head = preflight.release_head(config)
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
    expected = None if copy.database_only else listing(repository, copy.place.point, copy.facts)
    report = compare(references.read(copy.stage / backup.MANIFEST), Files(copy.walk()), expected)
    report.lost += check_database(copy)
    return report


def check_database(copy: Copy) -> list[str]:
    """What the restored database and its keys lack; each a sentence for a person."""
    with database.connect(copy.config, copy.place.database) as connection:
        lost = compare_rows(copy.facts["rows"], database.tables(connection))
        if (found := database.revision(connection)) != copy.facts["revision"]:
            lost.append(f"schema revision {copy.facts['revision']} expected, {found or 'none'} found")
    return lost + [
        f"secret {name} is not in the point: what it encrypts cannot be read"
        for name in SECRETS
        if bundled(copy, copy.config.config_path / "secrets" / name) is None
    ]


def secret(copy: Copy, name: str) -> bytes:
    """A secret of the restored bundle; :func:`check_database` says if it is not there.

    Raises:
        ControlError: it is no regular file.
    """
    content = bundled(copy, copy.config.config_path / "secrets" / name)
    if content is None:
        raise ControlError(f"secret {name} of point {copy.place.point.name} is no file: take another point")
    return content


def put_tls(copy: Copy) -> None:
    """Put back the certificates that nginx had, as root's, and let nginx read them.

    Clients of a new host then trust it as they did the old one. A point says what is
    in these files, and nothing else: which they are, where they lie and who may read
    them is this host's to say.
    """
    tls = access.load().tls
    for name, mode in TLS_FILES.items():
        content = bundled(copy, tls / name)
        if content is None:
            continue
        partial = tls / f"{name}.partial"
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(content)
            os.fchown(file.fileno(), 0, 0)
            os.fchmod(file.fileno(), mode)
        partial.rename(tls / name)
    run(["systemctl", "reload", "nginx.service"])


def bundled(copy: Copy, path: Path) -> bytes | None:
    """What a point has of a file of this host; ``None`` if that is no small regular file, or lies behind a link.

    Args:
        copy: the copy of the point.
        path: where the file is on this host.
    """
    try:
        with beneath.opened(copy.stage / bundle.NAME, str(path.parent).lstrip("/")) as directory:
            descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except (OSError, ControlError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        return file.read() if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_BUNDLED else None


def put_tokens(copy: Copy) -> None:
    """Put back the tokens on a host that has none, and let them log in.

    A host that has some keeps them: a token that was revoked since the point must not come back.
    """
    config = copy.config
    target = config.config_path / "access" / "tokens.json"
    if target.exists() or (content := bundled(copy, target)) is None:
        return
    jsonfile.write(target, [asdict(token) for token in tokens.checked(content)])
    run(["systemctl", "start", f"{config.unit}-access.service"])
