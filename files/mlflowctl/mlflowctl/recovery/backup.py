"""Take one synchronized recovery point of database and artifacts.

The order makes it consistent (docs/decisions/recovery.md): deletions are blocked; the
database's snapshot is taken first; then every file that it refers to exists and
is not removed until it is copied. Uploads continue.
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
from typing import Any, TypeVar

from mlflowctl import stores
from mlflowctl.core import lock, progress, state
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.errors import ControlError
from mlflowctl.core.progress import Log
from mlflowctl.recovery import bundle, preflight
from mlflowctl.recovery.checker import Files, Report, compare
from mlflowctl.recovery.repository import INCOMPLETE, VERIFIED, Contents, Restic
from mlflowctl.stores import references
from mlflowctl.stores.artifacts import fence
from mlflowctl.stores.artifacts.base import ArtifactStore

DUMP, MANIFEST, FACTS = "database.dump", "references.jsonl", "manifest.json"
ATTEMPTS = 2
# The result names this many of the references that were broken already, beside their number.
NAMED = 20

Result = TypeVar("Result")


def take(config: Config, log: Log) -> dict[str, Any]:
    """Take, check and mark a point in every repository.

    Returns:
        Facts of the point: name, seconds, bytes, files, references, lost.

    Raises:
        Busy: another operation runs.
        ControlError: it failed; nothing is marked verified.
    """
    started = time.monotonic()
    with lock.exclusive(config.instance.state_path, "backup"):
        try:
            facts = _take(config, log, started)
        except BaseException as error:
            state.record(config.instance, "backup", False, error=str(error) or type(error).__name__)
            raise
        state.record(config.instance, "backup", True, **facts)
    return facts


def _take(config: Config, log: Log, started: float) -> dict[str, Any]:
    log("checking whether a point can be taken")
    preflight.check(config)
    # An unavailable repository must not prevent the point in the others.
    errors: list[str] = []
    available = _each(map(Restic, config.recovery.repositories), partial(_prepare, config.instance), errors)
    if not available:
        raise ControlError("; ".join(errors))
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    log(f"taking point {name}; deletions are blocked from now on")
    artifacts = stores.artifacts.of(config)
    with fence.raised(config.recovery.fence_file) as raised, ExitStack() as copy:

        def freeze() -> None:
            copy.enter_context(artifacts.freeze())
            if not artifacts.deletions_wait:
                raised.lower()
                log(f"deletions resume after {raised.seconds:.1f} s; copying from the frozen store")

        facts = stage(config, name, log, freeze)
        reports = _each(available, lambda repository: _store(config, repository, name, log), errors)
    if artifacts.deletions_wait:
        log(f"deletions resume after {raised.seconds:.1f} s")
    if archive := stores.database.of(config).archive:
        try:
            archive.flush()
        except ControlError as error:
            errors.append(str(error))
    verified = [done.name for done in _each(reports, lambda repository: repository.mark(name, VERIFIED), errors)]
    if errors:
        held = ", ".join(verified) or "no repository"
        raise ControlError(f"point {name} is in {held}, with errors: {'; '.join(errors)}")
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
    log(f"point {name} is verified: {worst.references} references, {worst.files} files, {facts['bytes']} bytes")
    return facts


def _each(
    repositories: Iterable[Restic], operation: Callable[[Restic], Result], errors: list[str]
) -> dict[Restic, Result]:
    """Run an operation on each repository; returns the results, and appends the errors of those that fail."""
    done = {}
    for repository in repositories:
        try:
            done[repository] = operation(repository)
        except ControlError as error:
            errors.append(str(error))
    return done


def _prepare(instance: Instance, repository: Restic) -> None:
    """Create a repository the first time only: an unmounted disk looks like a missing repository.

    Raises:
        ControlError: it existed before and is missing now.
    """
    why = repository.absent()
    if not why:
        return
    if repository.name in state.read(instance).get("backup", {}).get("success", {}).get("repositories", []):
        raise ControlError(
            f"repository {repository.name} is missing at {repository.location}: is its disk mounted, its server up? "
            f"If it is lost permanently: mlflowctl create-repository {repository.name}. {why}"
        )
    repository.create()


def stage(config: Config, name: str, log: Log, freeze: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Write dump and manifest from one database snapshot, and the bundle, to the stage directory.

    Args:
        config: the instance.
        name: of the point.
        log: writes a line of progress.
        freeze: called right after the database's snapshot is taken.
    """
    config.instance.stage.mkdir(mode=0o700, exist_ok=True)
    for old in config.instance.stage.glob("*.partial"):
        old.unlink()
    database = stores.database.of(config)
    with database.snapshot() as snapshot:
        if database.archive:
            # Before the artifacts are frozen, so that they include all that the log refers to by then.
            database.archive.name_point(name)
        freeze()
        artifacts = stores.artifacts.of(config)
        source = artifacts.source
        count = references.write(references.strong(snapshot, artifacts, source), config.instance.stage / MANIFEST)
        taken = snapshot.taken()
        facts: dict[str, Any] = {
            "name": name,
            "public_url": config.instance.public_url,
            "database_time": taken.time,
            "lsn": taken.position,
            "revision": snapshot.revision(),
            "rows": snapshot.rows(),
            "postgresql": taken.version,
            "release": os.readlink(config.instance.root_path / "current").rsplit("/", 1)[-1],
            "store": source.address,
        }
        log(f"dumping the database, {count} references")
        dump = snapshot.dump(config.instance.stage / DUMP)
    facts |= {"sha256": dump.sha256, "dump_bytes": dump.size}
    (config.instance.stage / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    bundle.write(config, {"name": name})
    return {"dump_bytes": dump.size, "revision": facts["revision"], "release": facts["release"]}


def _store(config: Config, repository: Restic, name: str, log: Log) -> Report:
    """Copy the stage and the store to a repository and compare the snapshot with the manifest."""
    report = Report()
    # An append-only repository would keep both under one name.
    attempts = 1 if repository.append_only else ATTEMPTS
    for attempt in range(1, attempts + 1):
        log(f"copying to repository {repository.name}")
        report_share = progress.share_writer(config.instance, f"copying to {repository.name}")
        artifacts = stores.artifacts.of(config)
        paths = [config.instance.stage, *artifacts.copied]
        snapshot = repository.backup(name, paths, report_share, renewed=artifacts.renewed)
        progress.clear(config.instance)
        report = reconcile(config, repository, snapshot)
        if not report.lost:
            return report
        repository.mark(name, INCOMPLETE)
        if attempt < attempts:
            log(f"{len(report.lost)} references are not in the copy; trying again")
            repository.forget([repository.find(name).snapshot])
    raise ControlError(
        f"the copy in {repository.name} lacks {len(report.lost)} of {report.references} references, "
        f"first: {report.lost[0]}"
    )


def reconcile(config: Config, repository: Restic, snapshot: str) -> Report:
    """Compare a snapshot's listing with the manifest in the stage."""
    artifacts = stores.artifacts.of(config)
    found = listing(artifacts, Contents(repository, snapshot), artifacts.source.address)
    return compare(references.read(config.instance.stage / MANIFEST), found)


def listing(artifacts: ArtifactStore, contents: Contents, address: str) -> Files:
    """The artifacts of a point.

    Args:
        artifacts: the live store.
        contents: of the point.
        address: of the artifacts, as the point's description records it.
    """
    return Files(artifacts.listing(contents, address))
