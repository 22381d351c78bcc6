"""Take one synchronized recovery point of database and artifacts.

The order is what makes it consistent (docs/decisions/recovery.md): deletions wait; the
database's snapshot is taken first; then every file that it refers to is
already there and stays there until it is copied. Uploads go on.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlflowctl.core import lock, progress, state
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.recovery import bundle, preflight
from mlflowctl.recovery.checker import Files, Report, compare
from mlflowctl.recovery.repository import INCOMPLETE, VERIFIED, Restic
from mlflowctl.stores.artifacts import fence, frozen
from mlflowctl.stores.database import archive, postgresql, references

DUMP, MANIFEST, FACTS = "database.dump", "references.jsonl", "manifest.json"
ATTEMPTS = 2
# So many of the references that were broken already are named in the facts; their number is there besides.
NAMED = 20

Say = Callable[[str], None]
Result = TypeVar("Result")


def take(config: Config, say: Say) -> dict[str, Any]:
    """Take, check and mark a point in every repository.

    Returns:
        Facts of the point: name, seconds, bytes, files, references, lost.

    Raises:
        Busy: another transaction runs.
        ControlError: it failed; nothing is marked verified.
    """
    started = time.monotonic()
    with lock.exclusive(config.state_path, "backup"):
        try:
            facts = _take(config, say, started)
        except BaseException as error:
            state.record(config, "backup", False, error=str(error) or type(error).__name__)
            raise
        state.record(config, "backup", True, **facts)
    return facts


def _take(config: Config, say: Say, started: float) -> dict[str, Any]:
    say("looking whether a point can be taken")
    preflight.check(config)
    # A repository that is away must not keep the point out of the others.
    errors: list[str] = []
    available = _each(map(Restic, config.repositories), partial(_prepare, config), errors)
    if not available:
        raise ControlError("; ".join(errors))
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    say(f"taking point {name}; deletions wait from now on")
    with fence.raised(config.fence_file) as raised, ExitStack() as copy:

        def freeze() -> None:
            copy.enter_context(frozen.frozen(config))
            if config.snapshot != "none":
                raised.lower()
                say(f"deletions go on after {raised.seconds:.1f} s; copying from what stands still")

        facts = stage(config, name, say, freeze)
        reports = _each(available, lambda repository: _store(config, repository, name, say), errors)
    if config.snapshot == "none":
        say(f"deletions go on after {raised.seconds:.1f} s")
    if config.wal_archive:
        try:
            archive.flush(config)
        except ControlError as error:
            errors.append(str(error))
    verified = [done.name for done in _each(reports, lambda repository: repository.mark(name, VERIFIED), errors)]
    if errors:
        held = ", ".join(verified) or "no repository"
        raise ControlError(f"point {name} is in {held}, and: {'; '.join(errors)}")
    worst = max(reports.values(), key=lambda report: report.exit_code)
    facts |= {
        "point": name,
        "seconds": round(time.monotonic() - started, 3),
        "fence_seconds": round(raised.seconds, 3),
        "bytes": worst.size + facts["dump_bytes"],
        "files": worst.files,
        "references": worst.references,
        "lost": 0,
        "broken_at_source": len(worst.broken_at_source),
        "broken": worst.broken[:NAMED],
        "repositories": verified,
    }
    say(f"point {name} is verified: {worst.references} references, {worst.files} files, {facts['bytes']} bytes")
    return facts


def _each(
    repositories: Iterable[Restic], operation: Callable[[Restic], Result], errors: list[str]
) -> dict[Restic, Result]:
    """Do it to each repository; what it gave, for those where it worked. The errors of the others are appended."""
    done = {}
    for repository in repositories:
        try:
            done[repository] = operation(repository)
        except ControlError as error:
            errors.append(str(error))
    return done


def _prepare(config: Config, repository: Restic) -> None:
    """Create a repository the first time, and never again: a disk that is not mounted looks like none.

    Raises:
        ControlError: there was one, and now there is none.
    """
    why = repository.absent()
    if not why:
        return
    if repository.name in state.read(config).get("backup", {}).get("success", {}).get("repositories", []):
        raise ControlError(
            f"repository {repository.name} is gone from {repository.location}: is its disk mounted, its server up? "
            f"If it is lost for good: mlflowctl create-repository {repository.name}. {why}"
        )
    repository.create()


def stage(config: Config, name: str, say: Say, freeze: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Dump and manifest out of one database snapshot, and the bundle, in the stage directory.

    Args:
        config: the instance.
        name: of the point.
        say: progress.
        freeze: called once the database's snapshot stands and before anything else.
    """
    config.stage.mkdir(mode=0o700, exist_ok=True)
    for old in config.stage.glob("*.partial"):
        old.unlink()
    with postgresql.snapshot(config) as (connection, snapshot):
        if config.wal_archive:
            # Before the artifacts stand still: what the log knows by then is among them.
            archive.name_point(config, name)
        freeze()
        source = frozen.source(config)
        count = references.write(references.strong(connection, config.store, source), config.stage / MANIFEST)
        row = connection.execute("SELECT now(), pg_current_wal_lsn()::text").fetchone() or ("", "")
        facts: dict[str, Any] = {
            "name": name,
            "public_url": config.public_url,
            "database_time": str(row[0]),
            "lsn": row[1],
            "revision": postgresql.revision(connection),
            "rows": postgresql.tables(connection),
            "postgresql": connection.info.server_version // 10000,
            "release": os.readlink(config.root_path / "current").rsplit("/", 1)[-1],
            "store": str(source),
        }
        say(f"dumping the database, {count} references")
        dump = postgresql.dump(config, snapshot, config.stage / DUMP)
    facts |= {"sha256": dump.sha256, "dump_bytes": dump.size}
    (config.stage / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    bundle.write(config, {"name": name})
    return {"dump_bytes": dump.size, "revision": facts["revision"], "release": facts["release"]}


def _store(config: Config, repository: Restic, name: str, say: Say) -> Report:
    """Put the stage and the store into a repository and compare what arrived with the manifest."""
    report = Report()
    # An append-only repository would keep both under one name.
    attempts = 1 if repository.append_only else ATTEMPTS
    for attempt in range(1, attempts + 1):
        say(f"copying to repository {repository.name}")
        tell = progress.teller(config, f"copying to {repository.name}")
        paths = [config.stage, frozen.source(config)]
        snapshot = repository.backup(name, paths, tell, renewed=config.snapshot == "reflink")
        progress.forget(config)
        report = reconcile(config, repository, snapshot)
        if not report.lost:
            return report
        repository.mark(name, INCOMPLETE)
        if attempt < attempts:
            say(f"{len(report.lost)} references are not in the copy; once more")
            repository.forget([repository.find(name).snapshot])
    raise ControlError(
        f"the copy in {repository.name} lacks {len(report.lost)} of {report.references} references, "
        f"first: {report.lost[0]}"
    )


def reconcile(config: Config, repository: Restic, snapshot: str) -> Report:
    """Compare a snapshot's listing with the manifest in the stage."""
    found = listing(frozen.source(config), repository, snapshot)
    return compare(references.read(config.stage / MANIFEST), found)


def listing(store: Path, repository: Restic, snapshot: str) -> Files:
    """The files of a store in a snapshot of restic's."""
    prefix = f"{store}/"
    return Files(
        (entry.path.removeprefix(prefix), entry.size)
        for entry in repository.entries(snapshot)
        if entry.is_file and entry.path.startswith(prefix)
    )
