"""What mlflowctl needs of a backend store. Each store is one implementation of :class:`Database`.

Whatever is asked of MLflow's tables is a question with a name, in :class:`Reader`: no other module knows a statement.
Sizes are in bytes, times in a table in milliseconds since 1970. What cannot be done raises a ``ControlError``, whose
message says what is wrong and what to do.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

from mlflowctl.core.config import Config
from mlflowctl.core.progress import Log


class Row(NamedTuple):
    """A row that has artifacts.

    Attributes:
        kind: ``run``, ``logged_model``, ``model_version``, ``experiment`` or ``trace``.
        name: its ID.
        uri: where its artifacts are, as written in the database; clients choose many of them.
    """

    kind: str
    name: str
    uri: str | None


class Need(NamedTuple):
    """A row that was written after its artifacts, so that they must exist.

    Attributes:
        kind: ``logged_model``, ``model_version`` or ``trace``.
        name: its ID; ``NAME/VERSION`` of a model version.
        uri: where its artifacts are.
        need: the file that must be there, or :data:`mlflowctl.stores.references.ANYTHING`.
    """

    kind: str
    name: str
    uri: str | None
    need: str


class Removal(NamedTuple):
    """A row that gc removes, with the experiment that it belongs to. A name may be missing."""

    kind: str
    id: str
    name: str | None
    experiment_id: str | None
    experiment: str | None


@dataclass(frozen=True)
class Locations:
    """What a URI of the forms ``models:`` and ``runs:`` leads to.

    Attributes:
        models: the locations of logged models, by ID.
        runs: the locations of runs, by ID.
        versions: the locations of model versions, by name and version.
    """

    models: dict[str, str]
    runs: dict[str, str]
    versions: dict[tuple[str, str], str]


@dataclass(frozen=True)
class Dump:
    """A dump that was verified by reading it back.

    Attributes:
        path: the file.
        size: bytes.
        sha256: of the file.
    """

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Taken:
    """When a snapshot was taken.

    Attributes:
        time: the database's own, in ISO 8601 with a time zone.
        position: in its log of changes, as the database writes it; empty if it has none.
        version: major version of the server.
    """

    time: str
    position: str
    version: int


@dataclass(frozen=True)
class Space:
    """What a copy of the live database needs.

    Attributes:
        where: the copy would be: a path, or the server's name.
        free: bytes there; ``None`` if this host cannot know.
        size: bytes of the live database.
    """

    where: str
    free: int | None
    size: int


class Reader(ABC):
    """Questions to the tables of one database. Reads only. Rows may hold anything that a client can write."""

    @abstractmethod
    def revision(self) -> str:
        """MLflow's schema revision; empty if the database has none."""

    @abstractmethod
    def rows(self) -> dict[str, int]:
        """Exact number of rows of every table."""

    @abstractmethod
    def content(self) -> int:
        """How many experiments (but the default one), runs, registered models and traces there are."""

    @abstractmethod
    def locations(self) -> Locations:
        """The locations of all runs, logged models and model versions."""

    @abstractmethod
    def needs(self) -> Iterator[Need]:
        """Rows whose artifacts must exist: READY logged models and model versions, archived traces; by kind and ID."""

    @abstractmethod
    def uris(self) -> Iterator[str | None]:
        """Where the artifacts of all runs, models, versions and traces are, of deleted ones, too."""

    @abstractmethod
    def deleted(self, before_ms: int) -> list[Row]:
        """The runs and logged models that were deleted before a time."""

    @abstractmethod
    def owners(self) -> Iterator[Row]:
        """All runs, logged models, active experiments and traces; there may be millions."""

    @abstractmethod
    def emptied(self, runs: Sequence[str], models: Sequence[str]) -> list[str]:
        """The deleted experiments that have no other runs and logged models than these."""

    @abstractmethod
    def traces(self, experiments: Sequence[str]) -> int:
        """How many traces these experiments have."""

    @abstractmethod
    def removals(
        self, experiments: Sequence[str], runs: Sequence[str], models: Sequence[str], limit: int
    ) -> list[Removal]:
        """These rows and the traces of the experiments, at most so many: by kind, experiment and ID."""

    @abstractmethod
    def run_location(self, run: str) -> list[str | None]:
        """The location of a run; an empty list if there is no such row."""

    @abstractmethod
    def model_location(self, model: str) -> list[str | None]:
        """The location of a logged model; an empty list if there is no such row."""

    @abstractmethod
    def version_location(self, name: str, version: str) -> list[str | None]:
        """The location of a model version; an empty list if there is no such row."""

    @abstractmethod
    def ready_versions(self) -> list[tuple[str, str]]:
        """Name and version of all READY model versions, the newest first."""


class Snapshot(Reader):
    """One consistent state of the live database, for questions and a dump."""

    @abstractmethod
    def taken(self) -> Taken:
        """When it was taken."""

    @abstractmethod
    def dump(self, target: Path) -> Dump:
        """Write and verify a dump of this state: to a temporary file first, then renamed.

        Raises:
            ControlError: it failed, is too small or cannot be read back.
        """


@dataclass(frozen=True)
class Target:
    """The target of a replay of the archive.

    Attributes:
        moment: its time; a base backup must have ended before.
        name: of a named restore point, if it is one.
    """

    moment: datetime
    name: str = ""

    @property
    def text(self) -> str:
        """As text."""
        return f"{self.name or self.moment.isoformat()}"


@dataclass(frozen=True)
class BaseBackup:
    """A base backup.

    Attributes:
        label: its name in the archive.
        type: ``full``, or that it has changes only.
        size: bytes that it added to the archive.
    """

    label: str
    type: str
    size: int


class Archive(ABC):
    """Every change of the database, kept for restores to any point in time."""

    @abstractmethod
    def restore_point(self, point: str) -> str:
        """Name of a recovery point's restore point in the log."""

    @abstractmethod
    def name_point(self, point: str) -> None:
        """Set a recovery point's restore point in the log."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until everything that was written so far is in the archive.

        Raises:
            ControlError: it does not reach the archive in time.
        """

    @abstractmethod
    def problem(self) -> str:
        """Why archiving fails; empty if it works. Never raises."""

    @abstractmethod
    def base_backup(self, log: Log) -> BaseBackup:
        """Copy the database into the archive, in full or the changes.

        Raises:
            ControlError: it failed; older base backups stay.
        """

    @abstractmethod
    def replayed(self, wanted: Target, log: Log) -> AbstractContextManager[Database]:
        """The database as of a target, beside the live one, which is not touched. It is removed at the end.

        Raises:
            Refused: the archive does not reach that time.
            ControlError: it cannot be replayed.
        """


class Database(ABC):
    """A backend store: the live database, and copies of it beside it. Attributes are constant.

    Attributes:
        name: of the live database.
        archive: every change of it; ``None`` if nothing keeps them.
        tools: programs on this host that write and read dumps; a point records their versions.
        directories: where it is on this host, for their free space; none if it is elsewhere.
    """

    name: str
    archive: Archive | None
    tools: tuple[str, ...]
    directories: tuple[Path, ...]

    @classmethod
    @abstractmethod
    def of(cls, config: Config) -> Self:
        """The store of the configuration, whose table ``database`` has the settings.

        Raises:
            ControlError: a setting is missing or unknown.
        """

    # --- checks -----------------------------------------------------------
    @abstractmethod
    def check(self) -> None:
        """Refuse a database that does not answer.

        Raises:
            ControlError: why not.
        """

    @abstractmethod
    def check_tools(self) -> None:
        """Refuse if the programs on this host cannot dump this database.

        Raises:
            ControlError: their version, and what to install.
        """

    @abstractmethod
    def check_version(self, version: int) -> None:
        """Refuse a point whose dump this host cannot read.

        Args:
            version: major version of the server that wrote it.

        Raises:
            Refused: names the versions, and what to do.
        """

    @abstractmethod
    def space(self) -> Space:
        """What a copy beside the live database needs."""

    # --- reading ----------------------------------------------------------
    @abstractmethod
    def reader(self, name: str | None = None) -> AbstractContextManager[Reader]:
        """Questions to a database, the live one by default; each sees the state of its time.

        Raises:
            ControlError: it does not answer, or has no tables of MLflow.
        """

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """One consistent state of the live database, held until the end.

        Raises:
            ControlError: as for :meth:`reader`.
        """

    @abstractmethod
    def content(self) -> int:
        """As :meth:`Reader.content` of the live database; 0 if it does not exist, or has no tables."""

    # --- copies -----------------------------------------------------------
    @abstractmethod
    def scratch(self, purpose: str) -> str:
        """Name of the copy for a purpose, such as ``drill``. The same each time, so that a rest is found."""

    @abstractmethod
    def restore(self, dump: Path, name: str) -> None:
        """Create a copy and restore a dump into it completely. The live database is not touched.

        Raises:
            ControlError: there is one of that name, or the dump is damaged.
        """

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop a copy, if it exists.

        Raises:
            ControlError: it is the live database.
        """

    @abstractmethod
    def environment(self, name: str, directory: Path) -> dict[str, str]:
        """The environment that makes a program of a release use a copy.

        Args:
            name: of the copy.
            directory: where files for it are written; the service's user reads them.
        """

    # --- swap -------------------------------------------------------------
    @abstractmethod
    def swap(self, copy: str, suffix: str) -> None:
        """Set the live database aside under a suffix, and put a copy in its place. MLflow is stopped."""

    @abstractmethod
    def swap_back(self, copy: str, suffix: str) -> None:
        """Undo :meth:`swap`, at whatever stage it was interrupted; can be repeated."""

    @abstractmethod
    def set_aside(self) -> set[str]:
        """The suffixes of all databases that were set aside."""

    @abstractmethod
    def size_aside(self, suffix: str) -> int | None:
        """Bytes of a database that was set aside; ``None`` if there is none of that suffix."""

    @abstractmethod
    def drop_aside(self, suffix: str) -> None:
        """Drop a database that was set aside, if it exists."""


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
