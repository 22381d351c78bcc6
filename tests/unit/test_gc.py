"""Ages, orphans, and what is never deleted."""

from __future__ import annotations

from collections import UserList
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_host import gc as server_gc
from mlflowctl import (
    orphans,
    overlaps,
)
from mlflowctl.ages import parse_age
from mlflowctl.errors import ControlError
from mlflowctl.overlaps import Directory
from mlflowctl.references import ANYTHING, Reference


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


GONE = Directory("run", "gone", "1/gone/artifacts")
OTHER = Directory("run", "other", "1/other/artifacts")


@pytest.mark.parametrize(
    ("owner", "stays"),
    [
        (Directory("run", "x", "1/gone/artifacts"), True),
        (Directory("run", "x", "1/gone/artifacts/2/x/artifacts"), True),
        (Directory("run", "x", "1/gone"), True),
        (Directory("run", "x", "1/go"), False),
        (Directory("run", "x", "1/gone/artifacts2"), False),
        (Directory("logged_model", "x", "1/gone/artifacts/models/x/artifacts"), True),
        (Directory("logged_model", "x", "1"), True),
        (Directory("experiment", "2", "1/gone/artifacts"), True),
        (Directory("experiment", "2", "1/gone/artifacts/deep"), True),
        (Directory("experiment", "1", "1"), False),
        (Directory("trace", "x", "1/gone/artifacts/traces/x"), True),
        (Directory("trace", "x", "1/traces/x"), False),
    ],
)
def test_a_directory_that_others_need_stays(owner: Directory, stays: bool) -> None:
    """Equal, above or below; and nothing else stays for it."""
    beside = Directory("run", "beside", "3/beside/artifacts")
    found = overlaps.left_alone([GONE, OTHER, beside, Directory("run", "nowhere", "")], [owner], [])
    found.pop(OTHER, None)  # the directory above is above both
    assert found == ({GONE: owner} if stays else {})


@pytest.mark.parametrize(
    ("path", "present", "stays"),
    [
        ("1/gone/artifacts/model", True, True),
        ("1/gone/artifacts", True, True),
        ("1/gone/artifacts/model", False, False),
        ("1", True, False),
        ("", True, False),
    ],
)
def test_what_a_model_relies_on_stays_and_the_rest_goes(path: str, present: bool, stays: bool) -> None:
    """What is broken already relies on nothing."""
    model = Reference("model_version", "relies/1", path, ANYTHING, "uri", present)
    found = overlaps.left_alone([GONE, OTHER], [], [model])
    assert list(found) == ([GONE] if stays else [])


def test_what_stays_keeps_what_lies_in_it() -> None:
    """One that is deleted too, below one that stays, stays; beside it, it goes."""
    inner = Directory("run", "inner", "1/gone/artifacts/inner/artifacts")
    assert overlaps.left_alone([GONE, inner, OTHER], [], []) == {}
    model = Reference("model_version", "relies/1", "1/gone/artifacts/model", ANYTHING, "uri", True)
    found = overlaps.left_alone([inner, GONE, OTHER], [], [model])
    assert {str(one): str(owner) for one, owner in found.items()} == {
        "run gone": "model_version relies/1",
        "run inner": "run gone",
    }


def test_the_server_deletes_nothing_that_it_was_not_told() -> None:
    """Also the runs of a deleted experiment, and experiments; pages keep their way to the next."""

    class Page(UserList[Any]):
        token = "next"

    store: Any = SimpleNamespace(
        _get_deleted_runs=lambda older_than=0: ["a", "b"],
        _get_deleted_logged_models=lambda older_than=0: ["m", "n"],
        search_experiments=lambda **_: Page([SimpleNamespace(experiment_id=name) for name in "12"]),
        search_runs=lambda **_: Page([SimpleNamespace(info=SimpleNamespace(run_id=name)) for name in "abc"]),
    )
    server_gc.only(store, {"run": {"a", "z"}, "logged_model": {"n"}, "experiment": {"2"}})
    assert store._get_deleted_runs(older_than=5) == ["a"]
    assert store._get_deleted_logged_models() == ["n"]
    found = store.search_experiments(view_type=1, page_token=None)
    assert ([one.experiment_id for one in found], found.token) == (["2"], "next")
    assert [one.info.run_id for one in store.search_runs(run_view_type=1)] == ["a"]
