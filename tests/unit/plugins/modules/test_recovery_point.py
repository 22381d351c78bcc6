"""The module that reads a recovery point before anything is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[4] / "plugins" / "modules" / "recovery_point.py"
_spec = importlib.util.spec_from_file_location("recovery_point", FILE)
assert _spec
assert _spec.loader
module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(module)


def snapshot(identifier: str, day: int, *tags: str) -> dict[str, Any]:
    """As restic lists one."""
    return {"id": identifier, "time": f"2026-11-{day:02}T02:00:00.123456789+01:00", "tags": ["mlflow", *tags]}


LISTED = [
    snapshot("cccc", 23, "unverified", "point:20261123-c"),
    snapshot("aaaa", 21, "verified", "point:20261121-a"),
    snapshot("bbbb", 22, "unverified", "point:20261122-b"),
    snapshot("dddd", 24, "mlflow-mark", "verified", "point:20261122-b"),
]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("", "20261122-b"),
        ("latest", "20261122-b"),
        ("20261121-a", "20261121-a"),
        ("20261123", "20261123-c"),
        ("aa", "20261121-a"),
        ("2026-11-22T01:30:00+01:00", "20261121-a"),
        ("2026-12-01", "20261122-b"),
    ],
)
def test_the_same_point_is_meant_as_by_a_restore(wanted: str, name: str) -> None:
    """The latest verified one, a name or its beginning, a time."""
    assert module.chosen(LISTED, wanted)[0] == name


@pytest.mark.parametrize("wanted", ["202611", "nonsense", "2020-01-01"])
def test_an_unknown_or_ambiguous_name_is_left_to_the_restore(wanted: str) -> None:
    """None, and more than one: unknown, with the reason."""
    with pytest.raises(module.Unknown):
        module.chosen(LISTED, wanted)


@pytest.mark.parametrize(
    "answers",
    [
        ["[]", "{}"],
        ["null"],
        ["nonsense"],
        [json.dumps(LISTED), "[]"],
        [json.dumps(LISTED), '{"postgresql": "x"}'],
        ["[5]"],
    ],
)
def test_invalid_output_of_a_repository_is_unknown(answers: list[str]) -> None:
    """For any output: no exception but ours."""
    left = iter(answers)
    with pytest.raises(module.Unknown):
        module.read_point(lambda *_: next(left, ""), "latest", "/stage/manifest.json")


def test_the_postgresql_version_of_a_point_is_read() -> None:
    """Only the manifest of the chosen snapshot is read."""
    asked: list[tuple[str, ...]] = []

    def run(*arguments: str) -> str:
        asked.append(arguments)
        return json.dumps(LISTED) if arguments[0] == "snapshots" else '{"postgresql": 17, "rows": {}}'

    assert module.read_point(run, "latest", "/stage/manifest.json") == {"name": "20261122-b", "postgresql": 17}
    assert asked[1:] == [("dump", "bbbb", "/stage/manifest.json")]
