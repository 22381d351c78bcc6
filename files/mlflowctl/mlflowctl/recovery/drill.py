"""Test a restore: restore a point to a scratch database and directory, serve it, check it, remove it.

Live data is not touched: the drill has its own database, its own directory, and a
Unix socket that only root may use. It serves with the current release.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core import lock, service, state, trees
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.descent import Owner, chown_itself
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.printable import printable
from mlflowctl.core.process import run as run_program
from mlflowctl.core.progress import Log
from mlflowctl.recovery import backup, copies, host_files, inspection, restored
from mlflowctl.recovery.repository import Restic
from mlflowctl.stores import references


def run(config: Config, wanted: str, repository: str | None, log: Log) -> dict[str, Any]:
    """Restore a point beside the live data, check that it can be served, and remove it.

    Returns:
        Facts: point, RPO and RTO in seconds, references, lost.

    Raises:
        Busy: another operation runs.
        ControlError: the point cannot be restored; the message says why.
    """
    with lock.exclusive(config.instance.state_path, "drill"):
        try:
            facts = _run(config, wanted, Restic(config.recovery.repository(repository)), log)
        except Refused:
            raise
        except BaseException as error:
            state.record(config.instance, "drill", False, error=str(error) or type(error).__name__)
            raise
        state.record(config.instance, "drill", True, **facts)
    return facts


def _run(config: Config, wanted: str, repository: Restic, log: Log) -> dict[str, Any]:
    started = time.monotonic()
    point = repository.find(wanted)
    root = stores.artifacts.of(config).scratch("drill")
    database = stores.database.of(config)
    name = database.scratch("drill")
    log(f"testing the restore of point {point.name}")
    try:
        copy = restored.fetch(config, repository, copies.Place(point, root, name), log)
        report = inspection.check(copy, repository, log)
        if report.lost:
            raise ControlError(f"point {point.name} lacks {len(report.lost)} items, first: {report.lost[0]}")
        copy.artifacts.own()
        log("serving the copy on a separate socket")
        with _server(config, copy) as socket_path:
            service.wait_ready(config.instance, socket_path)
            rto = time.monotonic() - started
            loaded = _read_model(config, copy)
    finally:
        with suppress(ControlError):
            trees.remove(root)
        database.drop(name)
    log(f"point {point.name} restores in {rto:.1f} s: {report.references} references, 0 lost")
    return {
        "point": point.name,
        "rpo_seconds": round((datetime.now(UTC) - point.time).total_seconds(), 3),
        "rto_seconds": round(rto, 3),
        "seconds": round(time.monotonic() - started, 3),
        "references": report.references,
        "files": report.files,
        "bytes": report.size,
        "lost": 0,
        "broken_at_source": len(report.broken_at_source),
        "model": loaded,
    }


def _runtime(instance: Instance) -> Path:
    """Below the unit's RuntimeDirectory, which is removed with the unit."""
    return Path(f"/run/{instance.unit}-drill/server")


def _environment(config: Config, copy: copies.Copy, runtime: Path) -> dict[str, str]:
    """The service's environment, changed to use the copy, which is prepared for that."""
    return (
        service.environment(config.instance)
        | stores.database.of(config).environment(copy.place.database, runtime)
        | {
            "HOME": str(runtime),
            "CREDENTIALS_DIRECTORY": str(runtime / "credentials"),
        }
        | copy.artifacts.serve()
    )


@contextmanager
def _server(config: Config, copy: copies.Copy) -> Iterator[Path]:
    """Serve the copy with the current release; yields the socket."""
    runtime = _runtime(config.instance)
    shutil.rmtree(runtime, ignore_errors=True)
    credentials = runtime / "credentials"
    credentials.mkdir(parents=True, mode=0o700)
    for name in host_files.SECRETS:
        (credentials / name).write_bytes(host_files.secret(copy, name))
    environment = _environment(config, copy, runtime)
    own = Owner.named(config.instance.user, config.instance.user)
    # The deepest first: while its parent belongs to root, nobody can replace a directory by a link.
    for path in sorted([runtime, *runtime.rglob("*")], key=lambda path: len(path.parts), reverse=True):
        chown_itself(path, own)
    _decrypt(config.instance, environment)
    binary = config.instance.root_path / "current" / "bin"
    # Not in the server's directory, because root reads it again.
    log_file = runtime.with_name("log")
    with log_file.open("w") as log:
        server = subprocess.Popen(
            [binary / "gunicorn", f"--config={config.instance.config_path}/gunicorn.conf.py", "--workers=1",
             f"--bind=unix:{runtime}/wsgi.sock"],
            env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, umask=0o007,
            **service.user(config.instance),
        )  # fmt: skip
        try:
            yield runtime / "wsgi.sock"
        except ControlError as error:
            last = log_file.read_text(errors="backslashreplace").strip().splitlines()[-1:]
            raise ControlError(f"{error}. Last line of its log: {' '.join(last)[-500:]}") from error
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            shutil.rmtree(runtime, ignore_errors=True)


def _decrypt(instance: Instance, environment: dict[str, str]) -> None:
    """Check that every secret in the copy can be decrypted with the keys of the copy.

    Raises:
        ControlError: the passphrase is wrong.
    """
    run_program(
        [str(instance.root_path / "current/bin/python"), "-m", "mlflow_host.database.decrypt"],
        environment,
        cwd="/",
        **service.user(instance),
    )


def _read_model(config: Config, copy: copies.Copy) -> str:
    """Read the newest registered model that is complete in the point, through the test server.

    Any editor can mark a version READY that has no files or other files: those are skipped.
    Its description is read; it is not unpickled, because that would run code that
    users have uploaded.

    Returns:
        Its name, or empty if there is none.

    Raises:
        ControlError: there are such models, and the server serves none of them.
    """
    held = dict(copy.artifacts.list())
    paths = {
        found.name: found.path
        for found in references.read(copy.stage / backup.MANIFEST)
        if found.kind == "model_version" and found.present and held.get(f"{found.path}/MLmodel")
    }
    with stores.database.of(config).reader(copy.place.database) as reader:
        rows = reader.ready_versions()
    socket_path, refused = _runtime(config.instance) / "wsgi.sock", ""
    for name, version in rows:
        if (path := paths.get(f"{name}/{version}")) is None:
            continue
        query = service.query({"name": name, "version": version})
        artifact = f"/api/2.0/mlflow-artifacts/artifacts/{service.quote(path)}/MLmodel"
        try:
            service.get(config.instance, f"/api/2.0/mlflow/model-versions/get-download-uri?{query}", socket_path)
            if b"flavors" in service.get(config.instance, artifact, socket_path):
                return printable(f"{name}/{version}")
            refused = refused or f"the MLmodel of {printable(name)} version {version} is not valid"
        except ControlError as error:
            refused = refused or str(error)
    if refused:
        raise ControlError(refused)
    return ""
