"""Each store satisfies its base, and another kind is added in one place."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from mlflowctl import stores
from mlflowctl.core import config as configuration
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.operations import gc, health, orphans, verify
from mlflowctl.recovery import restore
from mlflowctl.stores.artifacts import base as artifacts
from mlflowctl.stores.artifacts.local.store import LocalVolume
from mlflowctl.stores.artifacts.local.tree import LocalTree
from mlflowctl.stores.database import base as database
from mlflowctl.stores.database.postgresql.archive import WalArchive
from mlflowctl.stores.database.postgresql.store import PostgreSQL, SharedSnapshot
from mlflowctl.stores.database.postgresql.tables import Tables

from tests.unit.helpers import configured, settings

BASES: list[type] = [
    artifacts.Tree, artifacts.ArtifactStore, database.Reader, database.Snapshot, database.Archive, database.Database,
]  # fmt: skip
# Each implementation, and its base.
IMPLEMENTED: list[tuple[type, type]] = [
    (LocalTree, artifacts.Tree),
    (Tables, database.Reader),
    (SharedSnapshot, database.Snapshot),
    (WalArchive, database.Archive),
    *((kind, artifacts.ArtifactStore) for kind in stores.artifacts.KINDS.values()),
    *((kind, database.Database) for kind in stores.database.KINDS.values()),
]
Kind = TypeVar("Kind", bound=type)


def asked(base: type) -> dict[str, Any]:
    """The methods and properties that a base asks for, with their parameters."""
    names = getattr(base, "__abstractmethods__")  # noqa: B009  # mypy does not know it
    return {name: _parameters(getattr(base, name)) for name in names}


def _parameters(member: Any) -> Any:
    if isinstance(member, property):
        return "property"
    found = inspect.signature(member).parameters.values()
    return [(one.name, one.kind, one.default) for one in found]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.__name__)
def test_a_base_explains_what_it_asks_for(base: type) -> None:
    """Every method has a docstring, and no base can be made itself."""
    assert inspect.isabstract(base)
    assert [name for name in asked(base) if not inspect.getdoc(getattr(base, name))] == []
    with pytest.raises(TypeError, match="abstract"):
        base()


@pytest.mark.parametrize(("kind", "base"), IMPLEMENTED, ids=lambda kind: kind.__name__)
def test_an_implementation_satisfies_its_base(kind: type, base: type) -> None:
    """Completely, and each method has the parameters of the base."""
    assert issubclass(kind, base)
    assert not inspect.isabstract(kind)
    assert {name: _parameters(getattr(kind, name)) for name in asked(base)} == asked(base)


def test_a_store_has_the_attributes_of_its_base(tmp_path: Path) -> None:
    """What the base declares is there, with its type."""
    instance = configured(tmp_path, database={"wal_archive": True})
    volume, postgresql = stores.artifacts.of(instance), stores.database.of(instance)
    assert isinstance(volume, LocalVolume)
    assert isinstance(postgresql, PostgreSQL)
    for store, base in ((volume, artifacts.ArtifactStore), (postgresql, database.Database)):
        assert {name for name in base.__annotations__ if not hasattr(store, name)} == set()
    assert (volume.where, volume.directories) == (str(tmp_path), (tmp_path,))
    assert isinstance(postgresql.archive, database.Archive)
    assert stores.database.of(configured(tmp_path)).archive is None


@pytest.mark.parametrize("frozen", ["none", "btrfs", "reflink"])
def test_deletions_wait_unless_the_store_is_frozen(tmp_path: Path, frozen: str) -> None:
    """Only cloned files look new in each point."""
    volume = LocalVolume.of(configured(tmp_path, recovery={"snapshot": frozen}))
    assert volume.deletions_wait == (frozen == "none")
    assert volume.renewed == (frozen == "reflink")
    assert volume.source.address == f"{tmp_path}/store" if frozen == "none" else f"{tmp_path}/.point/store"
    assert [str(path) for path in volume.copied] == [volume.source.address]


def test_a_store_that_lacks_something_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python refuses it by name, before anything is done with it."""

    class Part(LocalVolume):
        size_aside = artifacts.ArtifactStore.size_aside

    monkeypatch.setitem(stores.artifacts.KINDS, "part", Part)
    with pytest.raises(TypeError, match="size_aside"):
        stores.artifacts.of(configured(tmp_path, artifacts={"kind": "part"}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database": {"kind": "other"}}, "'other' is no kind of database, use one of {database}: run the playbook"),
        (
            {"artifacts": {"kind": "other"}},
            "'other' is no kind of artifact store, use one of {artifacts}: run the playbook",
        ),
        ({"database": {"more": 1}}, r"x: database: missing nothing, unknown \['more'\]: run the playbook"),
        ({"artifacts": {"more": 1}}, r"x: artifacts: missing nothing, unknown \['more'\]: run the playbook"),
    ],
    ids=["database", "artifacts", "setting of a database", "setting of a store"],
)
def test_an_unknown_kind_or_setting_is_refused(tmp_path: Path, changes: dict[str, dict[str, Any]], words: str) -> None:
    """In a sentence that says which there are."""
    instance = configured(tmp_path, **changes)
    kinds = {"database": ", ".join(stores.database.KINDS), "artifacts": ", ".join(stores.artifacts.KINDS)}
    with pytest.raises(ControlError, match=words.format(**kinds)):
        (stores.database if "database" in changes else stores.artifacts).of(instance)


def test_the_kind_of_a_store_must_be_given(tmp_path: Path) -> None:
    """The configuration itself asks for no other setting of a store."""
    for table in ("database", "artifacts"):
        with pytest.raises(ControlError, match=rf"{table}: missing \['kind'\]"):
            configuration.parse(settings(tmp_path) | {table: {}}, "x")


# --- a throw-away of each kind ----------------------------------------------
def whatever_else(kind: Kind) -> Kind:
    """Add the methods that these tests do not use."""

    def unused(*_: Any, **__: Any) -> Any:
        raise NotImplementedError

    for name in getattr(kind, "__abstractmethods__"):  # noqa: B009
        setattr(kind, name, unused)
    setattr(kind, "__abstractmethods__", frozenset())  # noqa: B010
    return kind


@dataclass(frozen=True)
class Bucket:
    """Settings of a store that has no directory on this host."""

    name: str
    objects: dict[str, int]


@whatever_else
class Objects(artifacts.ArtifactStore):
    """An object store, whose objects are in its settings."""

    directories = ()
    deletions_wait = False
    renewed = False

    def __init__(self, bucket: Bucket) -> None:
        self.where = self.address = f"s3://{bucket.name}"
        self._objects = bucket.objects

    @classmethod
    def of(cls, config: Config) -> Self:
        return cls(configuration.part(Bucket, config.artifacts.settings, config.artifacts.where))

    def check(self) -> None:
        if not self._objects:
            raise ControlError(f"{self.where} is empty")

    def exists(self) -> bool:
        return True

    def full(self) -> str:
        return ""

    def list(self) -> Iterator[tuple[str, int]]:
        yield from self._objects.items()

    def holds(self, path: str, need: str) -> bool:
        return any(name == f"{path}/{need}" or (need == "*" and name.startswith(f"{path}/")) for name in self._objects)

    def own_path(self, scheme: str, host: str, path: str) -> str | None:
        return path if f"{scheme}://{host}" == self.address else None

    def size(self, path: str) -> int:
        return sum(size for name, size in self._objects.items() if name.startswith(f"{path}/"))


@whatever_else
class Lists(database.Snapshot):
    """Tables without a database: a deleted run, a live one, a model with its files and one without."""

    def locations(self) -> database.Locations:
        return database.Locations({"m-1": "s3://b/1/m-1"}, {}, {})

    def needs(self) -> Iterator[database.Need]:
        yield database.Need("logged_model", "m-1", "s3://b/1/m-1", "MLmodel")
        yield database.Need("model_version", "wine/1", "models:/m-2", "*")

    def uris(self) -> Iterator[str | None]:
        yield from ("s3://b/1/gone/artifacts", "s3://b/1/m-1", "s3://other/1", None)

    def deleted(self, before_ms: int) -> list[database.Row]:
        return [database.Row("run", "gone", "s3://b/1/gone/artifacts")]

    def owners(self) -> Iterator[database.Row]:
        yield database.Row("run", "live", "s3://other/1")

    def emptied(self, runs: Sequence[str], models: Sequence[str]) -> list[str]:
        return []

    def traces(self, experiments: Sequence[str]) -> int:
        return 0

    def removals(
        self, experiments: Sequence[str], runs: Sequence[str], models: Sequence[str], limit: int
    ) -> list[database.Removal]:
        return [database.Removal("run", run, None, "1", "an experiment") for run in runs]


@whatever_else
class Elsewhere(database.Database):
    """A database on another host."""

    name = "there"
    archive = None
    tools = ()
    directories = ()

    @classmethod
    def of(cls, config: Config) -> Self:
        return cls()

    def check(self) -> None:
        raise ControlError("the database does not answer")

    @contextmanager
    def snapshot(self) -> Iterator[database.Snapshot]:
        lists: Any = Lists
        yield lists()

    def content(self) -> int:
        return 3


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """An instance with both: each is one entry, and one table of the configuration."""
    monkeypatch.setitem(stores.artifacts.KINDS, "objects", Objects)
    monkeypatch.setitem(stores.database.KINDS, "elsewhere", Elsewhere)
    objects = {"1/gone/artifacts/a": 5, "1/m-1/MLmodel": 7, "1/lost": 11}
    data = settings(tmp_path) | {
        "database": {"kind": "elsewhere"},
        "artifacts": {"kind": "objects", "name": "b", "objects": objects},
    }
    return configuration.parse(data, "x")


def test_operations_ask_another_store_the_same(elsewhere: Config) -> None:
    """What is missing, what nobody refers to, what is deleted, what a restore would replace."""
    report = verify.run(elsewhere, None, None)
    assert (report.files, report.size, report.lost) == (3, 23, [])
    assert report.broken == ["model_version wine/1"]
    assert orphans.report(elsewhere) == {"files": 1, "bytes": 11, "directories": ["1"]}
    removed = gc.run(elsewhere, "0s", True, print)
    assert (removed["runs"], removed["bytes"]) == (1, 5)
    assert removed["removes"] == [
        {"kind": "run", "id": "gone", "name": "", "experiment_id": "1", "experiment": "an experiment"}
    ]
    assert restore.live_data(elsewhere) == "3 experiments, runs, models and traces and 3 artifacts"


def test_health_asks_another_store_the_same(elsewhere: Config) -> None:
    """A store elsewhere has no free space of this host's."""
    assert list(health.free_space(elsewhere)) == [str(elsewhere.instance.state_path)]
    found = {check.subject: check for check in health.checks(elsewhere)}
    with pytest.raises(ControlError, match="does not answer"):
        found[health.DATABASE].perform()
    assert found[health.VOLUME].perform() == []
    assert found[health.SPACE].perform() == []
