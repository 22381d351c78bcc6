"""The files by which the services show nginx their state."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow_host.core import serving


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The unit's runtime directory."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return tmp_path


def names(place: Path) -> list[str]:
    """The files in it."""
    return sorted(path.name for path in place.iterdir())


def test_one_reason_at_a_time_until_it_serves(place: Path) -> None:
    """The last one counts."""
    serving.failed("volume")
    serving.failed("database")
    assert names(place) == ["failed-database"]
    serving.ready()
    assert names(place) == ["ready"]


@pytest.mark.parametrize(
    ("before", "result", "after"),
    [
        (["ready", "volume-is-right", "volume-is-missing"], "success", []),
        # It was killed, and is starting again.
        (["ready", "volume-is-right", "volume-is-full"], "signal", []),
        # It never served.
        (["volume-is-right"], "exit-code", ["failed-start"]),
        (["failed-schema"], "exit-code", ["failed-schema"]),
        ([], "success", []),
    ],
)
def test_nothing_serves_when_the_unit_has_ended(place: Path, before: list[str], result: str, after: list[str]) -> None:
    """For any reason; only a failed start gives one."""
    for name in before:
        (place / name).touch()
    serving.ended(result)
    assert names(place) == after


def test_a_drill_does_not_write_the_state_for_nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd has created no directory for it, or has removed it already."""
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    serving.failed("volume")
    serving.ready()
    serving.ended("exit-code")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "gone"))
    serving.ended("exit-code")
    assert not (tmp_path / "gone").exists()
