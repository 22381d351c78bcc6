"""The configuration of mlflowctl: a TOML file of the playbook, and tables of other roles in the directory beside it.

Each table is a frozen part of the configuration, so that a function takes the part that it needs.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlflowctl.core.errors import ControlError, Refused

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DEFAULT = Path("/etc/mlflow/mlflowctl.toml")

Part = TypeVar("Part", bound="DataclassInstance")


@dataclass(frozen=True)
class Instance:
    """The server on this host. Paths are absolute.

    Attributes:
        unit: prefix of the systemd units.
        user: the system user that runs MLflow.
        group: the group of the service and the proxy, which owns the artifacts.
        public_url: where clients reach the server.
        config_path: settings and secrets.
        root_path: releases.
        runtime_path: the services' sockets.
        reports_path: where the running service writes what it reports about itself.
        state_path: staging of dumps, state file and metrics.
    """

    unit: str
    user: str
    group: str
    public_url: str
    config_path: Path
    root_path: Path
    runtime_path: Path
    reports_path: Path
    state_path: Path

    @property
    def stage(self) -> Path:
        """Staging directory of a point; its path is constant, so that restic finds the previous snapshot."""
        return self.state_path / "stage"


@dataclass(frozen=True)
class Endpoint:
    """A store. Which settings there are is known to its kind: :mod:`mlflowctl.stores` reads them.

    Attributes:
        kind: of the store, such as ``postgresql``.
        settings: all others of its table.
        where: the table is, for messages.
    """

    kind: str
    settings: Mapping[str, Any]
    where: str


@dataclass(frozen=True)
class Notify:
    """Where failures are reported; an empty value switches a channel off.

    Attributes:
        command: a program and its arguments.
        mail: an address.
        url: of a webhook.
    """

    command: list[str]
    mail: str
    url: str


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
class Recovery:
    """Recovery points: what is in them, where they are stored, how long.

    Attributes:
        fence_file: exists while deletions must wait.
        closed_file: exists while every request must wait.
        files: what a bare host needs besides database and artifacts.
        snapshot: how the store is frozen while it is copied: ``none``, ``btrfs``, ``reflink``.
        keep: how many verified points to keep of each kind (daily, weekly …).
        stale_hours: age in hours at which the newest verified point is too old.
        gc_older_than: minimum age of a deletion that `gc` makes permanent, such as ``90d``.
        repositories: where points are stored; the first is the default for restores.
    """

    fence_file: Path
    closed_file: Path
    files: list[str]
    snapshot: str
    keep: dict[str, int]
    stale_hours: float
    gc_older_than: str
    repositories: list[Repository]

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


@dataclass(frozen=True)
class Config:
    """The tables of the configuration, and the units that start operations by the calendar (``timers``)."""

    instance: Instance
    database: Endpoint
    artifacts: Endpoint
    notify: Notify
    recovery: Recovery
    timers: list[str]


def load(path: Path | None = None) -> Config:
    """Read the configuration.

    Args:
        path: the file; by default ``$MLFLOWCTL_CONFIG`` or :data:`DEFAULT`. Further tables are in the directory whose
            name ends with ``.d`` instead of ``.toml``.

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


def parse(data: Mapping[str, Any], where: str) -> Config:
    """Build the configuration from its parsed file.

    Raises:
        ControlError: a table or a setting is missing or unknown.
    """
    tables = part(Config, data, where)
    recovery = part(Recovery, data["recovery"], f"{where}: recovery")
    repositories = [part(Repository, one, f"{where}: repositories") for one in data["recovery"]["repositories"]]
    if not repositories:
        raise ControlError(f"{where}: no repository is given: run the playbook again")
    return replace(
        tables,
        instance=part(Instance, data["instance"], f"{where}: instance"),
        database=_endpoint(data["database"], f"{where}: database"),
        artifacts=_endpoint(data["artifacts"], f"{where}: artifacts"),
        notify=part(Notify, data["notify"], f"{where}: notify"),
        recovery=replace(recovery, repositories=repositories),
    )


def _endpoint(data: Mapping[str, Any], where: str) -> Endpoint:
    if "kind" not in data:
        raise ControlError(f"{where}: missing ['kind']: run the playbook again")
    return Endpoint(data["kind"], {name: value for name, value in data.items() if name != "kind"}, where)


def part(kind: type[Part], data: Mapping[str, Any], where: str) -> Part:
    """Build a part of the configuration from its table.

    Args:
        kind: a dataclass; what has no default must be in the table.
        data: the table.
        where: it is, for the message.

    Raises:
        ControlError: a setting is missing or unknown.
    """
    known = {field.name: field for field in fields(kind)}
    missing = {name for name, field in known.items() if field.default is MISSING} - data.keys()
    unknown = data.keys() - known.keys()
    if missing or unknown:
        raise ControlError(
            f"{where}: missing {sorted(missing) or 'nothing'}, unknown {sorted(unknown) or 'nothing'}: "
            "run the playbook again"
        )
    return kind(**{name: Path(value) if known[name].type == "Path" else value for name, value in data.items()})
