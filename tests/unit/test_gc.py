"""Ages, orphans, and what is never deleted."""

from __future__ import annotations

import pytest
from mlflow_host import gc as server_gc
from mlflowctl import (
    orphans,
)
from mlflowctl.ages import parse_age
from mlflowctl.errors import ControlError


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2592000), ("12h", 43200), ("0s", 0), ("5m", 300)])
def test_ages(text: str, seconds: int) -> None:
    """A number and its unit."""
    assert parse_age(text, "--older-than") == seconds


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1.5d", "30 d", "1w"])
def test_nonsense_is_no_age(text: str) -> None:
    """Refused, with the way to write it."""
    with pytest.raises(ControlError, match="such as 30d"):
        parse_age(text, "--older-than")


def test_orphans_are_files_below_no_owner() -> None:
    """An owner's directory covers everything below it, and nothing beside it; uploads in progress are left out."""
    files = [("1/r/artifacts/a", 1), ("1/r2/x", 2), ("1/r2/y", 3), ("top", 4), ("1/r2/.artifact.uploading.z", 9)]
    assert orphans.ownerless(files, {"1/r/artifacts", "1/r22"}) == [("1/r2/x", 2), ("1/r2/y", 3), ("top", 4)]


def test_gc_deletes_nothing_but_directories_of_the_store() -> None:
    """The store itself, a way out of it, and any other place are left alone, and no row ends the removal of the others."""
    assert server_gc.directory("mlflow-artifacts:/1/r/artifacts", "/srv/store/") == "/srv/store/1/r/artifacts"
    assert server_gc.directory("mlflow-artifacts://host:443/1/a%20b", "/srv/store") == "/srv/store/1/a b"
    assert server_gc.directory("file:///srv/store/1/a", "/srv/store") == "/srv/store/1/a"
    for uri in (
        *(
            "mlflow-artifacts:/",
            "mlflow-artifacts:",
            "mlflow-artifacts:/1/../..",
            "mlflow-artifacts:/%2e%2e/etc",
            "mlflow-artifacts:/1/%252e%252e/x",
        ),
        *(
            "http://[x",
            "s3://bucket/a",
            "http://127.0.0.1/x",
            "file:///etc",
            "/srv/store",
            "/srv/stores/x",
            "",
            "models:/a",
        ),
        *("mlflow-artifacts:/a%00b", "\x01", "file:///srv/store/../x", "\ud800"),
    ):
        with pytest.raises(server_gc.Elsewhere, match=r"artifact location|directory below the store"):
            server_gc.directory(uri, "/srv/store")
        left = server_gc.local(None, uri, "/srv/store")
        left.delete_artifacts()
