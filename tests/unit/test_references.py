"""What the database relies on, and what the checker says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflowctl.checker import Files, compare, compare_rows
from mlflowctl.references import ANYTHING, Reference, Resolver


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("mlflow-artifacts:/1/abc/artifacts", "1/abc/artifacts"),
        ("mlflow-artifacts://host:443/1/a%20b", "1/a b"),
        ("file:///srv/store/1/x", "1/x"),
        ("/srv/store/1/x/", "1/x"),
        ("/etc/passwd", None),
        ("mlflow-artifacts:/../etc", None),
        ("mlflow-artifacts:/%2e%2e/etc", None),
        ("runs:/r1/model", "1/r1/artifacts/model"),
        ("runs:/r2/model", None),
        ("models:/m-1", "1/models/m-1/artifacts"),
        ("models:/wine/3", "1/models/m-1/artifacts"),
        ("models:/loop/1", None),
        ("s3://bucket/x", None),
    ],
)
def test_uris_become_paths(uri: str, path: str | None) -> None:
    """Every form that MLflow writes; whatever leaves the store is elsewhere."""
    resolver = Resolver(
        Path("/srv/store"),
        {"m-1": "mlflow-artifacts:/1/models/m-1/artifacts"},
        {"r1": "mlflow-artifacts:/1/r1/artifacts"},
        {("wine", "3"): "models:/m-1", ("loop", "1"): "models:/loop/1"},
    )
    assert resolver.path(uri) == path


def test_the_checker_tells_lost_from_broken() -> None:
    """Missing now and present then is lost; missing then as well was broken at its source."""
    files = Files([("1/a/MLmodel", 3), ("1/b/x/y", 1), ("1/c/.artifact.uploading.MLmodel", 9)])
    references = [
        Reference("logged_model", "a", "1/a", "MLmodel", "u", True),
        Reference("model_version", "b", "1/b", ANYTHING, "u", True),
        Reference("logged_model", "c", "1/c", "MLmodel", "u", True),
        Reference("logged_model", "d", "1/d", "MLmodel", "u", False),
        Reference("logged_model", "e", "", "MLmodel", "s3://x", False),
    ]
    report = compare(references, files)
    assert [text.split(":")[0] for text in report.lost] == ["logged_model c"]
    assert len(report.broken_at_source) == 2
    assert report.exit_code == 2
    assert compare(references[:2], files).exit_code == 0
    assert compare(references[3:], files).exit_code == 1


def test_every_file_of_the_point_must_be_there() -> None:
    """One that is missing, or has another size, is lost; one more is harmless."""
    expected = Files([("a", 1), ("b", 2), ("c", 3)])
    report = compare([], Files([("a", 1), ("b", 5), ("d", 1)]), expected)
    assert report.lost == ["file b: 2 bytes expected, 5 found", "file c: 3 bytes expected, none found"]
    assert compare_rows({"runs": 2, "tags": 1}, {"runs": 2, "tags": 0}) == ["table tags: 1 rows expected, 0 found"]
