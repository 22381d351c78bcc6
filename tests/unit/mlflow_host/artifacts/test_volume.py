"""The artifact volume: its identity, and its free space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow_host.artifacts import volume
from mlflow_host.core import serving
from mlflow_host.service import room


@pytest.fixture
def disk(tmp_path: Path) -> volume.Volume:
    """A valid volume."""
    mount = tmp_path / "volume"
    (mount / "store").mkdir(parents=True)
    (mount / ".volume-id").write_text("abc\n")
    (tmp_path / "volume-id").write_text("abc\n")
    return volume.Volume(mount, tmp_path / "volume-id")


def test_a_valid_volume_passes_and_is_unchanged(disk: volume.Volume) -> None:
    """The write probe leaves no file behind."""
    volume.check(disk)
    assert list(disk.store.iterdir()) == []


def test_nginx_is_told_when_the_volume_is_full(disk: volume.Volume, tmp_path: Path) -> None:
    """The mark follows the free space, at most once a second; a missing volume changes nothing."""
    mark = tmp_path / serving.VOLUME_IS_FULL
    everything = 1 << 80
    for path, reserve, there in ((disk.path, everything, True), (tmp_path / "away", 0, True), (disk.path, 0, False)):
        space = room.Room(path, reserve, mark)
        space.check()
        assert mark.exists() is there
    space.reserve = everything
    space.check()
    assert not mark.exists()


def test_an_unavailable_volume_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And again at the next outage."""
    monkeypatch.setattr(room, "INTERVAL_SECONDS", 0)
    space = room.Room(tmp_path / "volume", 0, tmp_path / serving.VOLUME_IS_FULL)
    for there, message in ((False, 1), (False, 1), (True, 1), (False, 2)):
        if there:
            space.volume.mkdir()
        elif space.volume.exists():
            space.volume.rmdir()
        space.check()
        assert caplog.text.count("cannot determine the free space") == message


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda disk: (disk.path / ".volume-id").unlink(), "is the artifact volume mounted?"),
        (lambda disk: (disk.path / ".volume-id").write_text("other"), "mount the right volume"),
        (lambda disk: disk.store.rmdir(), "cannot write"),
        (lambda disk: disk.id_file.unlink(), "cannot read"),
    ],
)
def test_a_bad_volume_is_refused(disk: volume.Volume, harm: Any, message: str) -> None:
    """Missing, wrong and read-only volumes have different messages."""
    harm(disk)
    with pytest.raises(volume.VolumeError, match=message.replace("?", r"\?")):
        volume.check(disk)


def test_a_right_volume_opens_it_to_nginx(disk: volume.Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with the right volume, and only where systemd has made a runtime directory for it."""
    monkeypatch.setenv("MLFLOW_VOLUME_PATH", str(disk.path))
    monkeypatch.setenv("MLFLOW_VOLUME_ID_FILE", str(disk.id_file))
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    assert volume.main() == 0
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime))
    (disk.path / ".volume-id").write_text("other")
    assert volume.main() == 1
    assert [path.name for path in runtime.iterdir()] == ["failed-volume"]
    serving.ready()
    assert [path.name for path in runtime.iterdir()] == ["ready"]
    serving.stopping()
    (disk.path / ".volume-id").write_text("abc")
    assert volume.main() == 0
    assert [path.name for path in runtime.iterdir()] == [serving.VOLUME_IS_RIGHT]


def test_nginx_is_told_when_the_volume_is_missing_and_back(disk: volume.Volume, tmp_path: Path) -> None:
    """While the server runs: artifacts are not reported as missing because the volume is."""
    place = tmp_path / "runtime"
    place.mkdir()
    there = volume.Presence(disk, place)
    for content, mark in (("abc", "volume-is-right"), ("other", "volume-is-missing"), ("abc", "volume-is-right")):
        (disk.path / ".volume-id").write_text(content)
        there.checked = float("-inf")
        there.check()
        assert [path.name for path in place.iterdir()] == [mark]
    # Not more than once a second.
    (disk.path / ".volume-id").unlink()
    there.check()
    assert [path.name for path in place.iterdir()] == ["volume-is-right"]
