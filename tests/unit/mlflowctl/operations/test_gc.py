"""Ages, orphans, and what is never deleted."""

from __future__ import annotations

import re
from collections import UserList
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_host.artifacts import gc as server_gc
from mlflowctl.cli.console import Output
from mlflowctl.core.ages import age, parse_age
from mlflowctl.core.errors import ControlError
from mlflowctl.operations import orphans, overlaps, removals
from mlflowctl.operations.overlaps import Directory
from mlflowctl.recovery import leftovers
from mlflowctl.stores.database.postgresql.server import Server
from mlflowctl.stores.database.postgresql.tables import Tables
from mlflowctl.stores.references import ANYTHING, Reference

from tests.unit.helpers import NOW, configured


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2592000), ("12h", 43200), ("0s", 0), ("5m", 300)])
def test_ages(text: str, seconds: int) -> None:
    """A number and its unit."""
    assert parse_age(text, "--older-than") == seconds


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1.5d", "30 d", "1w"])
def test_an_invalid_age_is_refused(text: str) -> None:
    """The message shows the format."""
    with pytest.raises(ControlError, match="such as 30d"):
        parse_age(text, "--older-than")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (86400, "24h"), (172800, "2d"), (9e7, "1041d")],
)
def test_ages_are_formatted_as_they_are_parsed(seconds: float, text: str) -> None:
    """In the largest unit of at least two; never negative if the clock was set back."""
    assert age(seconds) == text


@pytest.mark.parametrize(("held", "named"), [(3, 3), (removals.NAMED, removals.NAMED), (5000, removals.NAMED)])
def test_a_long_list_is_bounded_and_counted(held: int, named: int) -> None:
    """The first are named, with the number of the others."""
    rows = [(2, "run", str(number), None, "1", "an experiment") for number in range(held)]

    class Connection:
        def execute(self, query: str, _: object) -> Any:
            limit = int(found[1]) if (found := re.search(r"LIMIT (\d+)", query)) else None
            return SimpleNamespace(fetchone=lambda: (0,), fetchall=lambda: rows[:limit])

    going = [Directory("run", str(number), "") for number in range(held)]
    reported = removals.facts(Tables(Connection()), going, [])  # type: ignore[arg-type]
    assert (reported["runs"], len(reported["removes"]), reported["not_named"]) == (held, named, held - named)
    assert reported["removes"][0] == {
        "kind": "run",
        "id": "0",
        "name": "",
        "experiment_id": "1",
        "experiment": "an experiment",
    }


def test_what_is_put_aside_has_kind_size_and_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore's database, artifacts and keys, and a quarantine's files."""
    instance = configured(tmp_path)
    for path in (
        "store.before-20261121120000/1/a",
        "secrets.before-20261121120000/key",
        "store.orphans-20261120120000/x",
        "secrets.before-1/key",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"12345")
    sizes = {"mlflow_before_20261121120000": 3 << 20}

    class Connection:
        def execute(self, _: str, names: tuple[str, ...] = ()) -> Any:
            size = sizes.get(names[0]) if names else None
            return SimpleNamespace(fetchone=lambda: size and (size,), fetchall=lambda: [(name,) for name in sizes])

    monkeypatch.setattr(Server, "connect", lambda *_: nullcontext(Connection()))
    found = leftovers.listing(instance, NOW.timestamp())
    assert [tuple(one[name] for name in ("suffix", "kind", "holds", "bytes", "age")) for one in found] == [
        ("1", "restore", "keys", 5, "unknown"),
        ("20261120120000", "quarantine", "orphans", 5, "24h"),
        ("20261121120000", "restore", "database, artifacts, keys", (3 << 20) + 10, "0s"),
    ]


@pytest.mark.parametrize("length", [10, 200, 20_000])
def test_no_table_is_cut_when_it_is_piped(length: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is one complete line, in an answer or in one of several facts."""
    row = {"name": "n" * length, "other": "[bold]\x1b[2J"}
    Output(json=False).table([row])
    Output(json=False).facts({"removes": [row]})
    shown = [line for line in capsys.readouterr().out.splitlines() if "n" * length in line]
    assert len(shown) == 2
    assert all(line.rstrip().endswith(r"[bold]\x1b[2J") for line in shown)


def test_orphans_are_files_in_no_referenced_directory() -> None:
    """An owner's directory covers everything below it, and nothing beside it; uploads in progress are skipped."""
    files = [("1/r/artifacts/a", 1), ("1/r2/x", 2), ("1/r2/y", 3), ("top", 4), ("1/r2/.artifact.uploading.z", 9)]
    assert orphans.unreferenced(files, {"1/r/artifacts", "1/r22"}) == [("1/r2/x", 2), ("1/r2/y", 3), ("top", 4)]


def test_gc_deletes_nothing_but_directories_of_the_store() -> None:
    """The store itself, paths out of it, and other directories are not touched, and no row stops the removal of the others."""
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
        with pytest.raises(server_gc.OutsideStoreError, match=r"artifact location|directory below the store"):
            server_gc.directory(uri, "/srv/store")
        left = server_gc.repository_for(None, uri, "/srv/store")
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
def test_a_directory_that_others_need_is_kept(owner: Directory, stays: bool) -> None:
    """Equal, above or below; and nothing else is kept."""
    beside = Directory("run", "beside", "3/beside/artifacts")
    found = overlaps.needed_by_others([GONE, OTHER, beside, Directory("run", "nowhere", "")], [owner], [])
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
def test_what_a_model_refers_to_is_kept_and_the_rest_is_removed(path: str, present: bool, stays: bool) -> None:
    """A reference that is already broken needs nothing."""
    model = Reference("model_version", "relies/1", path, ANYTHING, "uri", present)
    found = overlaps.needed_by_others([GONE, OTHER], [], [model])
    assert list(found) == ([GONE] if stays else [])


def test_what_is_kept_keeps_its_content() -> None:
    """Another deleted one below one that is kept is kept; beside it, it is removed."""
    inner = Directory("run", "inner", "1/gone/artifacts/inner/artifacts")
    assert overlaps.needed_by_others([GONE, inner, OTHER], [], []) == {}
    model = Reference("model_version", "relies/1", "1/gone/artifacts/model", ANYTHING, "uri", True)
    found = overlaps.needed_by_others([inner, GONE, OTHER], [], [model])
    assert {str(one): str(owner) for one, owner in found.items()} == {
        "run gone": "model_version relies/1",
        "run inner": "run gone",
    }


def test_the_server_deletes_only_the_given_ids() -> None:
    """Also the runs of a deleted experiment, and experiments; pages keep their token of the next."""

    class Page(UserList[Any]):
        token = "next"

    store: Any = SimpleNamespace(
        _get_deleted_runs=lambda older_than=0: ["a", "b"],
        _get_deleted_logged_models=lambda older_than=0: ["m", "n"],
        search_experiments=lambda **_: Page([SimpleNamespace(experiment_id=name) for name in "12"]),
        search_runs=lambda **_: Page([SimpleNamespace(info=SimpleNamespace(run_id=name)) for name in "abc"]),
    )
    server_gc.restrict(store, {"run": {"a", "z"}, "logged_model": {"n"}, "experiment": {"2"}})
    assert store._get_deleted_runs(older_than=5) == ["a"]
    assert store._get_deleted_logged_models() == ["n"]
    found = store.search_experiments(view_type=1, page_token=None)
    assert ([one.experiment_id for one in found], found.token) == (["2"], "next")
    assert [one.info.run_id for one in store.search_runs(run_view_type=1)] == ["a"]
