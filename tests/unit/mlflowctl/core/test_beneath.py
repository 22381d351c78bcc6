"""root moves, creates, removes and changes the owner of files that others can write, and never leaves the volume."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from mlflowctl.core import beneath, config, descent
from mlflowctl.core.errors import ControlError
from mlflowctl.operations import orphans
from mlflowctl.recovery import compatibility, copies, leftovers, partial, restored
from mlflowctl.recovery.repository import VERIFIED, Point
from mlflowctl.stores.artifacts.local.store import LocalVolume
from mlflowctl.stores.database.postgresql.store import PostgreSQL

from tests.unit.helpers import NOW, configured

NOBODY = pwd.getpwnam("nobody")
OLD = 1_000_000_000  # seconds since 1970
NAME = "20261128120000"


@pytest.fixture(params=["openat2", "part by part"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernel's own system call, and without it, as in a sandbox."""
    if request.param != "openat2":
        monkeypatch.setattr(descent, "_openat2", lambda *_: -1)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory with a file that no operation may touch, like /etc/profile.d."""
    place = tmp_path / "outside"
    place.mkdir(mode=0o755)
    (place / "victim").write_text("as it was")
    return place


@pytest.fixture
def instance(tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[config.Config]:
    """A volume with a run's artifacts. Afterwards everything outside of it is unchanged."""
    volume, state = tmp_path / "volume", tmp_path / "state"
    (volume / "store/1/run/artifacts").mkdir(parents=True)
    (volume / "store/1/run/artifacts/file").write_text("kept")
    state.mkdir()
    group = grp.getgrgid(NOBODY.pw_gid).gr_name
    monkeypatch.setattr(leftovers, "suffixes", lambda _: [NAME])
    before = described(outside)
    yield configured(
        tmp_path,
        artifacts={"path": str(volume)},
        instance={"state_path": str(state), "user": "nobody", "group": group},
    )
    assert described(outside) == before


def volume_of(instance: config.Config) -> Path:
    """The artifact volume."""
    return LocalVolume.of(instance).volume


def store_of(instance: config.Config) -> Path:
    """The directory of the artifacts on it."""
    return volume_of(instance) / "store"


def described(place: Path) -> list[tuple[Any, ...]]:
    """Everything that an operation could change below a directory, and the directory itself."""
    return [
        (str(path), s.st_uid, s.st_gid, s.st_mode, path.read_text() if path.is_file() else "")
        for path in sorted([place, *place.rglob("*")])
        for s in [path.lstat()]
    ]


def kept(instance: config.Config) -> list[str]:
    """Where files with the artifact's content are, below the volume."""
    found = beneath.walk(volume_of(instance))
    return [path for path, _ in found if (volume_of(instance) / path).read_text() == "kept"]


def link(path: Path, to: Path) -> None:
    """Replace a file or directory by a link, and keep it under another name."""
    if os.path.lexists(path):
        path.rename(path.with_name(f"{path.name}.was"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to)


def aside(instance: config.Config, *files: str) -> Path:
    """A quarantine that holds files."""
    root = LocalVolume.of(instance).quarantine_path(NAME)
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("kept")
    return root


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("planted", ["2", "2/run", "2/run/artifacts", "2/run/artifacts/deep"])
def test_put_back_follows_no_link_in_the_path(instance: config.Config, outside: Path, planted: str) -> None:
    """A directory of the target became a link between the two commands: it is reported, nothing is lost, other files are moved back."""
    root = aside(instance, "2/run/artifacts/deep/file", "3/other")
    link(store_of(instance) / planted, outside)
    with pytest.raises(
        ControlError, match=f"1 files stay in {root}, 1 were moved back; first: .*store/{planted} is a link"
    ):
        leftovers.put_back(instance, NAME, print)
    assert (root / "2/run/artifacts/deep/file").read_text() == "kept"
    assert (store_of(instance) / "3/other").read_text() == "kept"
    (store_of(instance) / planted).unlink()
    assert leftovers.put_back(instance, NAME, print)["came_back"] == 1
    assert (store_of(instance) / "2/run/artifacts/deep/file").read_text() == "kept"
    assert not root.exists()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("to", ["victim", "new"])
def test_put_back_leaves_a_link_in_the_place_of_the_file(instance: config.Config, outside: Path, to: str) -> None:
    """Also a dangling one: it stays, and so does the file that was set aside."""
    root = aside(instance, "2/file")
    link(store_of(instance) / "2/file", outside / to)
    assert leftovers.put_back(instance, NAME, print)["came_back"] == 0
    assert (root / "2/file").read_text() == "kept"


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("planted", ["", "2"])
def test_put_back_takes_nothing_from_elsewhere(instance: config.Config, outside: Path, planted: str) -> None:
    """A link in place of the quarantine, or of a directory in it, is not followed."""
    root = aside(instance, "2/file")
    link(root / planted, outside)
    with suppress(ControlError):
        leftovers.put_back(instance, NAME, print)
    assert not (store_of(instance) / "victim").exists()
    assert len(kept(instance)) == 2


def test_put_back_makes_directories_for_the_service(instance: config.Config) -> None:
    """With its user and group, closed to others."""
    aside(instance, "2/run/file")
    assert leftovers.put_back(instance, NAME, print)["came_back"] == 1
    for path in ("2", "2/run"):
        found = (store_of(instance) / path).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (NOBODY.pw_uid, NOBODY.pw_gid, 0o2770)


@pytest.fixture
def no_references(monkeypatch: pytest.MonkeyPatch, instance: config.Config) -> None:
    """No row refers to anything."""

    monkeypatch.setattr(LocalVolume, "check", lambda _: None)
    monkeypatch.setattr(PostgreSQL, "snapshot", lambda _: nullcontext())
    monkeypatch.setattr(orphans, "referenced", lambda *_: set())
    os.utime(store_of(instance) / "1/run/artifacts/file", (OLD, OLD))


@pytest.mark.usefixtures("way", "no_references")
@pytest.mark.parametrize("planted", ["1", "1/run", "1/run/artifacts", "1/run/artifacts/file"])
def test_quarantine_takes_no_file_through_a_link(
    instance: config.Config, outside: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """A directory that was replaced by a link before the move."""
    for name in ("file", "artifacts/file", "run/artifacts/file"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text("theirs")
        os.utime(outside / name, (OLD, OLD))
    before = described(outside)
    found = orphans.find(instance)
    assert [path for path, _ in found] == ["1/run/artifacts/file"]
    link(store_of(instance) / planted, outside / "file" if planted.endswith("file") else outside)
    monkeypatch.setattr(orphans, "find", lambda _: found)
    if planted.endswith("file"):
        orphans.quarantine(instance, "1d", print)
    else:
        with pytest.raises(
            ControlError, match=f"1 files stay in the store, 0 were set aside .*store/{planted} is a link"
        ):
            orphans.quarantine(instance, "1d", print)
    assert described(outside) == before
    assert len(kept(instance)) == 1
    for name in ("file", "artifacts/file", "run/artifacts/file"):
        (outside / name).unlink()
    for name in ("run/artifacts", "run", "artifacts"):
        (outside / name).rmdir()


@pytest.mark.usefixtures("way", "no_references")
def test_quarantine_is_closed_to_the_service(instance: config.Config, outside: Path) -> None:
    """A link in the store is not set aside, and its owner cannot change a file that was."""
    link(store_of(instance) / "1/away", outside)
    assert orphans.quarantine(instance, "1d", print)["directories"] == ["1/run/artifacts"]
    (root,) = volume_of(instance).glob("store.orphans-*")
    assert {path.stat().st_mode & 0o7777 for path in (root, root / "1", root / "1/run")} == {0o700}
    assert (root / "1/run/artifacts/file").read_text() == "kept"


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("planted", ["store.before-{}", "store.orphans-{}"])
def test_deleting_what_was_put_aside_deletes_nothing_else(
    instance: config.Config, outside: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """Neither through a link that has replaced it, nor through one in it."""
    monkeypatch.setattr(PostgreSQL, "drop", lambda *_: None)
    path = volume_of(instance) / planted.format(NAME)
    path.mkdir()
    link(path / "in", outside)
    leftovers.delete(instance, NAME, print)
    assert not path.exists()
    link(path, outside)
    leftovers.delete(instance, NAME, print)
    assert not path.is_symlink()


def brought_back(instance: config.Config, monkeypatch: pytest.MonkeyPatch, part: partial.Part, copied: str = "") -> Any:
    """Restore a run whose directory is the only one that a point holds."""
    root = volume_of(instance) / "restore-p"
    copy = root / str(store_of(instance)).lstrip("/") / "1/run/artifacts"

    class Repository:
        """Restores one file, or what a test puts in place of its directory."""

        def restore(self, *_: Any, **__: Any) -> None:
            """Create the file."""
            copy.parent.mkdir(parents=True)
            if copied:
                copy.symlink_to(copied)
            else:
                copy.mkdir()
                (copy / "file").write_text("back")

    monkeypatch.setattr(PostgreSQL, "reader", lambda _: nullcontext())
    monkeypatch.setattr(partial, "where", lambda *_: "1/run/artifacts")
    root.mkdir(mode=0o700)
    monkeypatch.setattr(restored, "facts", lambda *_: {"store": str(store_of(instance))})
    listed = type("Listed", (), {"sizes": {"1/run/artifacts/file": 4}})
    monkeypatch.setattr(restored, "listing", lambda *_: listed)
    monkeypatch.setattr(compatibility, "refuse_without_space", lambda *_: None)
    place = copies.Place(Point("p", "s", NOW, VERIFIED, ()), root, "x")
    repository: Any = Repository()
    return partial.restore_part(instance, repository, place, part, print)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("replace_live", [False, True])
@pytest.mark.parametrize("planted", ["1", "1/run", "1/run/artifacts"])
def test_a_part_is_brought_back_through_no_link(
    instance: config.Config, outside: Path, monkeypatch: pytest.MonkeyPatch, planted: str, replace_live: bool
) -> None:
    """Live files are not taken from elsewhere, nor restored files written there."""
    link(store_of(instance) / planted, outside)
    part = partial.Part("run", "run", replace_live)
    if replace_live and planted == "1/run/artifacts":
        # The link itself was live: it is set aside.
        done = brought_back(instance, monkeypatch, part)
        assert (store_of(instance) / planted / "file").read_text() == "back"
        assert (volume_of(instance) / f"store.before-{done['put_aside']}" / planted).is_symlink()
    else:
        with pytest.raises(ControlError, match=f"store/{planted} is a link"):
            brought_back(instance, monkeypatch, part)
    assert len(kept(instance)) == 1


@pytest.mark.usefixtures("way")
def test_a_link_in_the_point_is_no_directory_of_its(
    instance: config.Config, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link in the point is a link in the copy: its target is neither moved nor changes its owner."""
    (outside / "file").write_text("four")
    before = described(outside)
    with pytest.raises(ControlError, match="artifacts is a link"):
        brought_back(instance, monkeypatch, partial.Part("run", "run"), copied=str(outside))
    assert described(outside) == before
    (outside / "file").unlink()


@pytest.mark.parametrize("store", ["/../outside", "relative", "/a/../../outside"])
def test_the_artifacts_of_a_point_are_inside_of_the_copy(instance: config.Config, store: str) -> None:
    """The owner of the copy's store is changed: it must be below the copy."""
    root = volume_of(instance) / "restore-p"

    class Repository:
        """A point with a manifest."""

        def restore(self, *_: Any, **__: Any) -> None:
            """Create the manifest."""
            stage = root / str(instance.instance.stage).lstrip("/")
            stage.mkdir(parents=True)
            (stage / "manifest.json").write_text(json.dumps({"store": store}))

    repository: Any = Repository()
    with pytest.raises(ControlError, match="refused"):
        restored.facts(instance.instance, repository, Point("p", "s", NOW, VERIFIED, ()), root)


@pytest.mark.usefixtures("way")
def test_what_is_swapped_is_no_link(instance: config.Config, outside: Path) -> None:
    """Removed uploads are those of nginx, and a store that replaces another is a real directory."""
    volume = LocalVolume.of(instance)
    link(volume_of(instance) / "incoming", outside)
    volume.drop_uploads()
    (volume_of(instance) / "incoming").unlink()
    (volume_of(instance) / "incoming").mkdir()
    (volume_of(instance) / "incoming/upload").touch()
    volume.drop_uploads()
    assert not list((volume_of(instance) / "incoming").iterdir())
    link(volume_of(instance) / "restore-p", outside)
    with pytest.raises(ControlError, match="restore-p is a link"):
        volume.move(volume_of(instance) / "restore-p/victim", volume_of(instance) / "new")
    with pytest.raises(ControlError, match="exists already"):
        volume.move(store_of(instance), volume_of(instance) / "incoming")


@pytest.mark.usefixtures("way")
def test_a_frozen_copys_place_that_is_a_link_goes_alone(instance: config.Config, outside: Path) -> None:
    """Its target stays, even if it is dangling."""
    for to in (outside, outside / "none"):
        copy = LocalVolume.of(instance).frozen
        copy.place.symlink_to(to)
        copy.remove()
        assert not copy.place.is_symlink()


@pytest.mark.usefixtures("way")
def test_sizes_are_those_of_the_store(instance: config.Config, outside: Path) -> None:
    """gc does not count targets of links; a missing directory, or a file, counts as 0."""
    link(store_of(instance) / "1/away", outside)
    assert LocalVolume.of(instance).size("1") == len("kept")
    for path in ("1/away", "1/none", "1/run/artifacts/file", "1/away/victim", "x" * 300):
        assert LocalVolume.of(instance).size(path) == 0


@pytest.mark.usefixtures("way")
def test_chown_changes_nothing_else(instance: config.Config, outside: Path) -> None:
    """The owner of a link itself is changed; a file with a hard link elsewhere stops it before any change."""
    volume, owner = volume_of(instance), descent.Owner(NOBODY.pw_uid, NOBODY.pw_gid)
    link(volume / "store/1/away", outside)
    (volume / "store/1/twice").write_text("inside")
    os.link(volume / "store/1/twice", volume / "store/1/run/twice")
    os.link(outside / "victim", volume / "store/1/run/hard")
    with pytest.raises(ControlError, match="1/run/hard has a hard link elsewhere"):
        beneath.chown(volume, "store", owner)
    assert (volume / "store/1/twice").stat().st_uid == os.geteuid()
    (volume / "store/1/run/hard").unlink()
    beneath.chown(volume, "store", owner)
    assert {path.lstat().st_uid for path in (volume / "store").rglob("*")} == {NOBODY.pw_uid}
    with pytest.raises(ControlError, match="1/away is a link"):
        beneath.chown(volume, "store/1/away", owner)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("operation", ["rename", "remove", "make"])
def test_a_directory_that_became_a_link_meanwhile_is_still_the_one_that_was_opened(
    instance: config.Config, outside: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """The account wins the race between check and use, without an effect."""
    step, volume = descent._step, volume_of(instance)

    def late(directory: int, names: list[str]) -> int:
        found = step(directory, names)
        if names[-1] == "1" or names[-1] == "artifacts":
            link(store_of(instance) / "1", outside)
            monkeypatch.setattr(descent, "_step", step)
        return found

    monkeypatch.setattr(descent, "_step", late)
    (volume / "upload").write_text("kept")
    if operation == "rename":
        beneath.rename(volume, "upload", "store/1/victim")
        assert (store_of(instance) / "1.was/victim").read_text() == "kept"
    elif operation == "remove":
        beneath.remove(volume, "store/1/run/artifacts/file")
        assert not (store_of(instance) / "1.was/run/artifacts/file").exists()
    else:
        with descent.opened(volume, "store/1/new/deep", make=True):
            pass
        assert (store_of(instance) / "1.was/new/deep").is_dir()


@pytest.mark.usefixtures("way")
def test_nothing_is_replaced(instance: config.Config, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the file system can refuse that itself or not."""
    volume = volume_of(instance)
    (volume / "other").write_text("other")
    (volume / "file").touch()
    (volume / "directory").mkdir()
    (volume / "link").symlink_to(outside)
    for there in ("file", "directory", "link"):
        assert not beneath.rename(volume, "other", there)
    with monkeypatch.context() as patched:
        patched.setattr(beneath, "NO_REPLACE", 1 << 30)  # a flag that no file system supports
        assert not beneath.rename(volume, "other", "link")
        assert beneath.rename(volume, "other", "store/new/name")
    assert (volume / "store/new/name").read_text() == "other"
    with pytest.raises(FileNotFoundError):
        beneath.rename(volume, "other", "elsewhere")


@pytest.mark.parametrize("path", ["..", "store/../../outside", "/etc", "store/1/../../../outside/victim"])
def test_a_path_that_leaves_is_refused(instance: config.Config, path: str) -> None:
    """Before anything is opened."""
    volume = volume_of(instance)
    for operation in (
        lambda: beneath.lstat(volume, path),
        lambda: beneath.remove(volume, path),
        lambda: beneath.rename(volume, path, "x"),
        lambda: beneath.rename(volume, "store", path),
        lambda: list(beneath.walk(volume, path)),
    ):
        with pytest.raises(ControlError, match="is not below"):
            operation()


def test_the_drill_changes_the_owner_of_the_link_itself(instance: config.Config, outside: Path, tmp_path: Path) -> None:
    """The owner of a link in the server's directory itself is changed."""
    (tmp_path / "link").symlink_to(outside)
    owner = descent.Owner.named(instance.instance.user, instance.instance.group)
    descent.chown_itself(tmp_path / "link", owner)
    assert (tmp_path / "link").lstat().st_uid == NOBODY.pw_uid


@pytest.mark.parametrize(
    ("kind", "stays"),
    [(stat.S_IFIFO, True), (stat.S_IFSOCK, True), (stat.S_IFBLK, False), (stat.S_IFCHR, False)],
    ids=["pipe", "socket", "disk", "terminal"],
)
def test_the_owner_of_a_device_is_not_changed(tmp_path: Path, kind: int, stays: bool) -> None:
    """A point may come from a repository that others write: a disk in it must not become the service's."""
    (tmp_path / "copy/deep").mkdir(parents=True)
    (tmp_path / "copy/deep/file").write_text("x")
    (tmp_path / "copy/deep/link").symlink_to("file")
    try:
        os.mknod(tmp_path / "copy/deep/odd", kind | 0o600, 0 if stays else os.makedev(7, 0))
    except PermissionError:
        pytest.skip("only root makes devices")
    beneath.chown(tmp_path, "copy", descent.Owner(os.getuid(), os.getgid()))
    assert sorted(os.listdir(tmp_path / "copy/deep")) == ["file", "link"] + ["odd"] * stays
