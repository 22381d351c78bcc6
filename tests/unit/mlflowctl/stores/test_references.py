"""References of the database to artifacts, and the checker's results."""

from __future__ import annotations

import os
import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflowctl.core.printable import SHOWN, printable
from mlflowctl.recovery.checker import Files, compare, compare_rows
from mlflowctl.stores import references
from mlflowctl.stores.artifacts.local.store import below
from mlflowctl.stores.artifacts.local.tree import is_present
from mlflowctl.stores.references import ANYTHING, Reference, Resolver


def own_path(scheme: str, _: str, path: str) -> str | None:
    """As a volume at /srv resolves its own forms."""
    return below("/srv/store", scheme, path)


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
        (None, None),
        ("", None),
        ("http://[x", None),
        ("mlflow-artifacts://[x/1", None),
        ("mlflow-artifacts:/1/%00", None),
        ("mlflow-artifacts:/1/\0", None),
        ("mlflow-artifacts:/1/\ud800", None),
        ("mlflow-artifacts:/1/%zz%ff", "1/%zz\ufffd"),
        ("mlflow-artifacts:/1/" + "a" * 255, "1/" + "a" * 255),
        ("mlflow-artifacts:/1/" + "a" * 256, None),
        ("mlflow-artifacts:/1/" + "\u00e4" * 128, None),
        ("mlflow-artifacts:/" + "a/" * 2100, None),
        ("mlflow-artifacts:/" + "a/" * 2000, "/".join("a" * 2000)),
        ("runs:/r1/" + "a" * 300, None),
        ("models:/m-odd/1", "1/models/m-1/artifacts"),
        ("models:/there/1", None),
        ("runs:/r3/x", None),
    ],
)
def test_uris_become_paths(uri: str | None, path: str | None) -> None:
    """Every form that MLflow writes; whatever leaves the store is elsewhere."""
    resolver = Resolver(
        own_path,
        {"m-1": "mlflow-artifacts:/1/models/m-1/artifacts", "m-3": "runs:/r3/x"},
        {"r1": "mlflow-artifacts:/1/r1/artifacts", "r3": "models:/m-3"},
        {
            ("wine", "3"): "models:/m-1",
            ("loop", "1"): "models:/loop/1",
            ("m-odd", "1"): "models:/m-1",
            ("there", "1"): "models:/back/1",
            ("back", "1"): "models:/there/1",
        },
    )
    assert resolver.path(uri) == path


def test_the_checker_distinguishes_lost_from_broken() -> None:
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
    assert report.exit_code == 3
    assert compare(references[:2], files).exit_code == 0
    assert compare(references[3:], files).exit_code == 1


# What a client can write into a row, and what only the role of the database can.
TEXTS = st.text() | st.text("/%.:[]@?#\\*\0\r\n\t\x1b \u202e\ud800\xe4" + string.ascii_letters + string.digits)
LONG = st.builds(lambda text, times: text * times, TEXTS, st.integers(1, 400))
SCHEMES = st.sampled_from(
    ["", "/", "/srv/store/", "mlflow-artifacts:", "mlflow-artifacts:/", "mlflow-artifacts://", "file:", "file://",
     "file:///srv/store/", "models:/", "models:/m-1/", "models:/wine/", "runs:/", "runs:/r1/", "http://", "https://[",
     "s3://", "gs://", "dbfs:/", "hdfs://", "ftp://", "abfss://", "uc:", "::", "//"]
)  # fmt: skip
URIS = st.none() | TEXTS | LONG | st.builds("{}{}".format, SCHEMES, TEXTS | LONG)


@given(uri=URIS, model=URIS, run=URIS, source=URIS)
@example("http://[x", "http://[x", "", "")
@example("models:/m-1/x", "runs:/r1/x", "models:/wine/3", "models:/m-1/y")
@example("mlflow-artifacts:/.artifact.uploading.x", "/", "file:", "//[")
def test_no_row_is_an_error(uri: str | None, model: str, run: str, source: str) -> None:
    """For any row: a valid path below the store, or none; and it is the same after writing and reading the manifest."""
    resolver = Resolver(own_path, {"m-1": model}, {"r1": run}, {("wine", "3"): source})
    for text in (uri, "models:/m-1/x", "runs:/r1", "models:/wine/3"):
        path = resolver.path(text)
        if path is None:
            continue
        parts = path.encode().split(b"/")
        assert ".." not in path.split("/")
        assert b"\0" not in path.encode()
        assert max(map(len, parts)) <= 255
        assert len(path.encode()) <= 4096
        assert not path.startswith("/")
        for need in ("MLmodel", ANYTHING):
            assert is_present(Path("/nowhere"), "store", path, need) is False
    written = [Reference("trace", uri or "", "", ANYTHING, uri or "", False)]
    with tempfile.TemporaryDirectory() as folder:
        assert references.write(written, Path(folder) / "references.jsonl") == 1
        assert list(references.read(Path(folder) / "references.jsonl")) == written
    report = compare(written, Files([]))
    assert report.broken == [f"trace {printable(uri or '')}"]
    assert report.broken_at_source[0].isprintable()
    assert len(report.broken_at_source[0]) < len(report.broken[0]) + SHOWN + 100
    assert "broken" not in report.facts()


def test_only_files_that_a_point_includes_exist(tmp_path: Path) -> None:
    """Regular files, not through a link, and no upload in progress: otherwise each point would lack them."""
    store = tmp_path / "store"
    for name in ("m/MLmodel", "up/.artifact.uploading.x", "up/.artifact.uploading.d/x", ".artifact.uploading.e/m/MLmodel",
                 "odd/x.artifact.uploading.y", "odd/name\n"):  # fmt: skip
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text("x")
    (store / "empty/empty").mkdir(parents=True)
    (store / "link").mkdir()
    (store / "link/MLmodel").symlink_to(store / "m/MLmodel")
    (store / "away").symlink_to(store / "m")
    (store / "loop").symlink_to("loop")
    os.mkfifo(store / "link/pipe")
    held = Files([(name, 1) for name in ("m/MLmodel", "odd/x.artifact.uploading.y", "odd/name\n")])
    for path, need, expected in [
        ("m", "MLmodel", True), ("m", ANYTHING, True), ("m/MLmodel", ANYTHING, True), ("odd", ANYTHING, True),
        ("m/MLmodel", "MLmodel", False), ("up", ANYTHING, False), ("up/.artifact.uploading.d", ANYTHING, False),
        (".artifact.uploading.e/m", "MLmodel", False), ("empty", ANYTHING, False), ("link", ANYTHING, False),
        ("link", "MLmodel", False), ("away", "MLmodel", False), ("away", ANYTHING, False), ("loop", ANYTHING, False),
        ("loop/x", "MLmodel", False), ("a" * 300, ANYTHING, False), ("none", ANYTHING, False), ("", ANYTHING, False),
        ("x\0", ANYTHING, False), ("\ud800", "MLmodel", False), ("/".join("a" * 3000), "MLmodel", False),
    ]:  # fmt: skip
        assert is_present(store.parent, store.name, path, need) is expected, path
        assert held.holds(Reference("k", "n", path, need, "u", expected)) is expected, path


def test_every_file_of_the_point_must_be_there() -> None:
    """One that is missing, or has another size, is lost; one more is harmless."""
    expected = Files([("a", 1), ("b", 2), ("c", 3)])
    report = compare([], Files([("a", 1), ("b", 5), ("d", 1)]), expected)
    assert report.lost == ["file b: 2 bytes expected, 5 found", "file c: 3 bytes expected, none found"]
    assert compare_rows({"runs": 2, "tags": 1}, {"runs": 2, "tags": 0}) == ["table tags: 1 rows expected, 0 found"]


def test_a_name_that_is_no_text_is_the_same_in_a_point() -> None:
    """restic's JSON has U+FFFD for each byte that is not UTF-8; two names may become one, with the bytes of both."""
    names = (b"1/caf\xe9", b"1/\xff", b"1/\xfe", b"1/\xc3(", "1/é".encode())
    live = Files((os.fsdecode(name), 10 + number) for number, name in enumerate(names))
    listed = [("1/caf\ufffd", 10), ("1/\ufffd", 11), ("1/\ufffd", 12), ("1/\ufffd(", 13), ("1/é", 14)]
    assert compare([], live, Files(listed)).lost == []
    assert len(compare([], live, Files([*listed, ("1/\ufffd\ufffd", 1)])).lost) == 1
    assert len(compare([], Files(listed[:1]), live).lost) == 3
