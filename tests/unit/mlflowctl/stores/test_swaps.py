"""A copy replaces the live data, and an interrupted swap is undone at any stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from mlflowctl.core.errors import ControlError
from mlflowctl.stores.artifacts.local.store import LocalVolume
from mlflowctl.stores.database.postgresql.store import PostgreSQL

from tests.unit.helpers import configured

SUFFIX = "20261128120000"


class Interrupted(Exception):
    """An interruption by a signal."""


class Point:
    """A point that holds the artifacts of a volume that was elsewhere, and other files."""

    held: ClassVar = {
        "/srv/old/store/1/a": 1,
        "/srv/old/store/2/b": 2,
        "/srv/old/stores/c": 4,
        "/var/stage/database.dump": 8,
    }

    def files(self) -> Iterator[tuple[str, int]]:
        """All of them."""
        yield from self.held.items()

    def restore(self, path: str, root: Path) -> None:
        """Those below a path, as restic does."""
        for name, size in self.held.items():
            if name.startswith(f"{path}/"):
                target = root / name.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(b"x" * size)


@pytest.fixture
def volume(tmp_path: Path) -> LocalVolume:
    """A volume with one artifact."""
    (tmp_path / "store/1").mkdir(parents=True)
    (tmp_path / "store/1/live").write_text("live")
    return LocalVolume.of(configured(tmp_path))


@pytest.mark.parametrize(("path", "restored"), [("", [("1/a", 1), ("2/b", 2)]), ("2", [("b", 2)])])
def test_the_artifacts_of_a_point_are_restored_beside_the_live_ones(
    volume: LocalVolume, path: str, restored: list[tuple[str, int]]
) -> None:
    """From the address in the point's description, for any path of this host's volume."""
    assert sorted(volume.listing(Point(), "/srv/old/store")) == [("1/a", 1), ("2/b", 2)]
    root = volume.scratch("restore-p")
    root.mkdir()
    copy = volume.fetch(Point(), "/srv/old/store", root, path)
    assert sorted(copy.list()) == restored
    assert copy.address == volume.restored(root, "/srv/old/store", path).address
    assert list(volume.scratches("restore-")) == [root]
    assert list(volume.list()) == [("1/live", 4)]


def test_an_empty_store_is_restored_as_one(volume: LocalVolume) -> None:
    """A point of a server without artifacts has no files."""
    root = volume.scratch("restore-p")
    root.mkdir()
    assert list(volume.fetch(Point(), "/srv/empty/store", root).list()) == []


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_swap_of_artifacts_is_undone(volume: LocalVolume, monkeypatch: pytest.MonkeyPatch, done: int) -> None:
    """After none, one or both of its renames; twice as well as once."""
    root = volume.scratch("restore-p")
    root.mkdir()
    copy = volume.fetch(Point(), "/srv/old/store", root)
    moves: list[str] = []
    move = volume.move

    def stops(source: Path, target: Path) -> None:
        if len(moves) == done:
            raise Interrupted
        moves.append(source.name)
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(volume, "move", stops)
        try:
            volume.swap(copy, SUFFIX)
        except Interrupted:
            assert done < 2
    if done == 2:
        assert sorted(volume.list()) == [("1/a", 1), ("2/b", 2)]
        assert (volume.set_aside(), volume.size_aside(SUFFIX)) == ({SUFFIX}, 4)
    for _ in range(2):
        volume.swap_back(copy.address, SUFFIX)
        assert list(volume.list()) == [("1/live", 4)]
        assert sorted(copy.list()) == [("1/a", 1), ("2/b", 2)]
        assert volume.set_aside() == set()


def test_what_was_set_aside_is_not_overwritten(volume: LocalVolume) -> None:
    """Not even by a second swap with the same suffix."""
    (volume.volume / f"store.before-{SUFFIX}").mkdir()
    root = volume.scratch("restore-p")
    root.mkdir()
    with pytest.raises(ControlError, match="exists already"):
        volume.swap(volume.fetch(Point(), "/srv/old/store", root), SUFFIX)
    assert list(volume.list()) == [("1/live", 4)]


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_swap_of_databases_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int) -> None:
    """After none, one or both of its renames; twice as well as once."""
    database = PostgreSQL.of(configured(tmp_path))
    there = {"mlflow": "live", "mlflow_restore": "copy"}
    left = [done]

    def rename(_: PostgreSQL, old: str, new: str) -> None:
        if not left[0]:
            raise Interrupted
        left[0] -= 1
        assert new not in there
        there[new] = there.pop(old)

    monkeypatch.setattr(PostgreSQL, "rename", rename)
    monkeypatch.setattr(PostgreSQL, "exists", lambda _, name: name in there)
    try:
        database.swap(database.scratch("restore"), SUFFIX)
        assert there == {"mlflow": "copy", f"mlflow_before_{SUFFIX}": "live"}
    except Interrupted:
        assert done < 2
    left[0] = 2
    for _ in range(2):
        database.swap_back("mlflow_restore", SUFFIX)
        assert there == {"mlflow": "live", "mlflow_restore": "copy"}
