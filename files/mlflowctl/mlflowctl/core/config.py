"""The configuration of mlflowctl: a TOML file of the playbook, and parts of other roles in the directory beside it."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mlflowctl.core.errors import ControlError, Refused

DEFAULT = Path("/etc/mlflow/mlflowctl.toml")


@dataclass(frozen=True)
class Repository:
    """A repository for recovery points.

    Attributes:
        name: in messages and metrics.
        location: as restic's ``--repo`` (path, ``sftp:``, ``s3:``, ``rest:`` …).
        password_file: file with the repository's password.
        environment_file: file with ``NAME=value`` lines, the credentials of
            the storage; empty for none.
        append_only: the storage refuses changes and deletions.
    """

    name: str
    location: str
    password_file: str
    environment_file: str = ""
    append_only: bool = False


@dataclass(frozen=True)
class Config:
    """The instance and how it is backed up. Paths are absolute.

    Attributes:
        unit: prefix of the systemd units.
        user: the system user that runs MLflow.
        group: owns the volume; the service and the proxy are in it.
        config_path: settings and secrets.
        root_path: releases.
        runtime_path: the services' sockets.
        volume_path: the artifact volume.
        public_url: where clients reach the server.
        database: name of the backend store's database.
        database_role: role that owns it.
        database_socket_path: directory of PostgreSQL's socket.
        full_file: exists while uploads are refused because the volume is full.
        state_path: staging of dumps, state file and metrics.
        fence_file: exists while deletions must wait.
        closed_file: exists while every request must wait.
        files: what a bare host needs besides database and artifacts.
        wal_archive: whether pgBackRest keeps every change of the database.
        timers: the units that start operations by the calendar.
        snapshot: how the store is frozen while it is copied: ``none``, ``btrfs``, ``reflink``.
        keep: how many verified points to keep of each kind (daily, weekly …).
        stale_hours: age in hours at which the newest verified point is too old.
        gc_older_than: minimum age of a deletion that `gc` makes permanent, such as ``90d``.
        notify: where failures are reported: ``command``, ``mail``, ``url``.
        repositories: where points are stored; the first is the default for restores.
    """

    unit: str
    user: str
    group: str
    config_path: Path
    root_path: Path
    runtime_path: Path
    volume_path: Path
    public_url: str
    database: str
    database_role: str
    database_socket_path: str
    full_file: Path
    state_path: Path
    fence_file: Path
    closed_file: Path
    files: list[str]
    wal_archive: bool
    timers: list[str]
    snapshot: str
    keep: dict[str, int]
    stale_hours: float
    gc_older_than: str
    notify: dict[str, Any]
    repositories: list[Repository]

    @property
    def store(self) -> Path:
        """The directory of the artifacts."""
        return self.volume_path / "store"

    @property
    def stage(self) -> Path:
        """Staging directory of a point; its path is constant, so that restic finds the previous snapshot."""
        return self.state_path / "stage"

    def repository(self, name: str | None = None) -> Repository:
        """The named repository, or the first.

        Raises:
            ControlError: there is none of that name.
        """
        for repository in self.repositories:
            if name in (None, repository.name):
                return repository
        known = ", ".join(repository.name for repository in self.repositories)
        raise Refused(f"there is no repository {name!r}: use one of {known}")


def load(path: Path | None = None) -> Config:
    """Read the configuration.

    Args:
        path: the file; by default ``$MLFLOWCTL_CONFIG`` or :data:`DEFAULT`. Parts of it are in the directory whose name
            ends with ``.d`` instead of ``.toml``.

    Raises:
        ControlError: it is missing, unreadable or incomplete.
    """
    path = path or Path(os.environ.get("MLFLOWCTL_CONFIG", str(DEFAULT)))
    data: dict[str, Any] = {}
    for part in [path, *_beside(path)]:
        found = _read(part)
        # Each role names the timers that it has installed.
        timers = [*data.get("timers", []), *found.get("timers", [])]
        twice = sorted(data.keys() & found.keys() - {"timers"})
        if twice:
            raise ControlError(f"{part}: {', '.join(twice)} is set elsewhere, too: run the playbook again")
        data |= found | {"timers": timers}
    return parse(data, str(path))


def _beside(path: Path) -> list[Path]:
    folder = path.with_suffix(".d")
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(".toml"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(path: Path, error: OSError) -> ControlError:
    return ControlError(f"cannot read {path}: {error.strerror}. Run as root, on a host with recovery points")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise _unreadable(path, error) from error
    except tomllib.TOMLDecodeError as error:
        raise ControlError(f"{path} is damaged ({error}): run the playbook again") from error


def parse(data: dict[str, Any], where: str) -> Config:
    """Build the configuration from its parsed file.

    Raises:
        ControlError: a setting is missing or unknown.
    """
    names = {field.name: field.type for field in fields(Config)}
    missing, unknown = names.keys() - data.keys(), data.keys() - names.keys()
    if missing or unknown:
        raise ControlError(
            f"{where}: missing {sorted(missing) or 'nothing'}, unknown {sorted(unknown) or 'nothing'}: "
            "run the playbook again"
        )
    values: dict[str, Any] = {name: Path(data[name]) if kind == "Path" else data[name] for name, kind in names.items()}
    values["repositories"] = [Repository(**repository) for repository in data["repositories"]]
    if not values["repositories"]:
        raise ControlError(f"{where}: no repository is given: run the playbook again")
    return Config(**values)
