"""Artifacts that nginx reads and writes itself: the same for a client as through MLflow."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness.artifacts import API, listing

NAMES = [f"a{character}b.txt" for character in string.printable[:95] if character != "/"] + [
    "MLmodel",
    "json",
    "conda.yaml",
    "model.tar.gz",
    "table.csv.gz",
    "picture.png",
    "UPPER.TXT",
    ".hidden",
    "...",
    "two.dots..txt",
    " spaces ",
    "ünïcödé-日本語.txt",
    "%41%2f%2e%2e",
    "b" * 255,
    "c" * 256,
    ".artifact.uploading.x",
    "~",
    "-",
    "deep/" * 60 + "end.bin",
    "a//b",
    "a/./b",
    "C:/windows",
    "file:/etc",
]


@pytest.fixture
def through_mlflow(host: Any, server: Any) -> Any:
    """A context in which nginx passes every artifact on to MLflow."""
    ready = f"/run/{server.unit}-service/volume-is-right"

    @contextmanager
    def switched() -> Iterator[None]:
        host.check_output(f"mv {ready} {ready}.aside")
        try:
            yield
        finally:
            host.check_output(f"mv {ready}.aside {ready}")

    return switched


def written(http: Any, root: str, name: str) -> bool:
    """Write a file whose content is its name; returns whether it was accepted."""
    answer = http.put(f"{root}/{quote(name)}", data=name.encode())
    assert answer.status_code < 300 or answer.status_code in (400, 500), (name, answer.status_code, answer.text)
    return bool(answer.ok)


def read(http: Any, root: str, name: str) -> tuple[int, bytes, dict[str, str | None]]:
    """Status, content and headers that matter to a client."""
    answer = http.get(f"{root}/{quote(name)}")
    reported = ("Content-Type", "Content-Length", "Content-Disposition", "X-Content-Type-Options", "Cache-Control")
    content = answer.content if answer.ok else b""  # a refusal names the path
    return answer.status_code, content, {header: answer.headers.get(header) for header in reported if answer.ok}


def test_nginx_writes_and_reads(host: Any, server: Any, http: Any, root: str, through_mlflow: Any) -> None:
    """Both write files, each with its own owner, and each can read the other's."""
    written(http, root, "by/nginx.txt")
    with through_mlflow():
        written(http, root, "by/mlflow.txt")
        assert read(http, root, "by/nginx.txt")[1] == b"by/nginx.txt"
    assert read(http, root, "by/mlflow.txt")[1] == b"by/mlflow.txt"
    folder = f"{server['mlflow_volume_path']}/store{root.removeprefix(server.url + API)}/by"
    assert host.file(f"{folder}/nginx.txt").user == "www-data"
    assert host.file(f"{folder}/mlflow.txt").user == server["mlflow_user"]
    assert listing(http, server, f"{root}/by") == {"nginx.txt": (False, 12), "mlflow.txt": (False, 13)}


def test_every_name_comes_out_alike(server: Any, http: Any, root: str, through_mlflow: Any) -> None:
    """Whatever a file is called: it is accepted or refused, read, named, typed and listed alike by nginx and MLflow."""
    here, there = f"{root}/nginx", f"{root}/mlflow"
    accepted = {name: written(http, here, name) for name in NAMES}
    with through_mlflow():
        assert {name: written(http, there, name) for name in NAMES} == accepted
        slow = {name: (read(http, here, name), read(http, there, name)) for name in NAMES}
    fast = {name: (read(http, here, name), read(http, there, name)) for name in NAMES}
    for name in NAMES:
        assert slow[name][0] == slow[name][1], name
        assert fast[name] == slow[name], name
    assert accepted["b" * 255]
    assert not accepted["c" * 256]
    assert listing(http, server, here) == listing(http, server, there)


def test_no_path_is_too_long_for_lstat(host: Any, http: Any, root: str) -> None:
    """nginx's compiled expressions have a small stack: a path of thousands of names must not need it."""
    assert http.get(f"{root}/{'d/' * 1900}end.bin").status_code == 404
    assert host.run("grep 'match() failed' /var/log/nginx/error.log").stdout == ""


@pytest.mark.parametrize("fast", [True, False], ids=["by nginx", "by MLflow"])
def test_a_path_that_could_not_be_restored_is_refused(http: Any, root: str, through_mlflow: Any, fast: bool) -> None:
    """1,024 bytes are the limit, in any encoding: a recovery point is restored below a longer directory."""
    room = 1024 - len(root.partition(f"{API}/")[2]) - 1
    deep = "d/" * (room // 2 - 1)
    longest = deep + "e" * (room - len(deep))
    with nullcontext() if fast else through_mlflow():
        assert http.put(f"{root}/{longest}", data=b"x").ok
        for path in (f"{longest}e", deep + "%64/" * 3 + "end", f"{deep}%0A/%0A/end"):
            refused = http.put(f"{root}/{path}", data=b"x")
            assert refused.status_code == 400, path
            assert "may have 1024 bytes" in refused.json()["message"]
        # Existing files can still be read and removed.
        assert http.get(f"{root}/{longest}e").status_code == 404
    assert http.get(f"{root}/{longest}").content == b"x"
    assert http.delete(f"{root}/d").ok


def chunks(*parts: bytes) -> Iterator[bytes]:
    """A body of unknown length."""
    yield from parts


@pytest.mark.parametrize(
    "body",
    [lambda: b"", lambda: b"x" * 3_000_000, lambda: chunks(b"one", b"two"), chunks, lambda: None],
    ids=["empty", "long", "chunked", "chunked-empty", "none"],
)
def test_every_kind_of_body_arrives(http: Any, root: str, through_mlflow: Any, body: Callable[[], Any]) -> None:
    """Empty, long, chunked: the file is what was sent, and replaces an existing one."""
    http.put(f"{root}/file", data=b"before")
    assert http.put(f"{root}/file", data=body()).ok
    fast = read(http, root, "file")
    with through_mlflow():
        assert http.put(f"{root}/file", data=body()).ok
        assert read(http, root, "file") == fast
    assert fast[1] == b"".join([body() or b""] if not hasattr(body(), "__next__") else body())


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=2-5"},
        {"Range": "bytes=-3"},
        {"Range": "bytes=7-"},
        {"Range": "bytes=100-"},
        {"If-Modified-Since": "Thu, 01 Jan 2099 00:00:00 GMT"},
        {"If-None-Match": '"other"'},
        {"If-Match": '"other"'},
        {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"},
        {"Range": "bytes=2-5", "If-Range": '"other"'},
        {"Accept-Encoding": "gzip, br"},
    ],
    ids=lambda headers: "; ".join(f"{name}: {value}" for name, value in headers.items()),
)
def test_parts_and_conditions_are_answered_alike(
    http: Any, root: str, through_mlflow: Any, headers: dict[str, str]
) -> None:
    """A range of a file, or 304 if it has not changed."""
    http.put(f"{root}/file", data=b"0123456789")

    def answer(method: str) -> tuple[Any, ...]:
        got = http.request(method, f"{root}/file", headers=headers)
        content = got.content if got.ok else b""
        return got.status_code, content, got.headers.get("Content-Range"), got.headers.get("Content-Encoding")

    fast = answer("GET"), answer("HEAD")
    with through_mlflow():
        assert fast == (answer("GET"), answer("HEAD"))


def test_directories_and_files_do_not_replace_each_other(
    http: Any, server: Any, root: str, through_mlflow: Any
) -> None:
    """A directory stays a directory, and a file stays a file."""
    http.put(f"{root}/folder/file", data=b"1")

    def answers() -> tuple[Any, ...]:
        over_directory = http.put(f"{root}/folder", data=b"2").ok
        below_file = http.put(f"{root}/folder/file/below", data=b"2").ok
        slash = http.put(f"{root}/folder/slash/", data=b"2").ok
        return (
            over_directory,
            below_file,
            slash,
            http.get(f"{root}/folder").status_code,
            read(http, root, "folder/file"),
        )

    fast = answers()
    with through_mlflow():
        assert answers() == fast
    assert fast[:2] == (False, False)
    assert listing(http, server, f"{root}/folder")["file"] == (False, 1)


def test_missing_things_are_reported_alike(http: Any, root: str, through_mlflow: Any) -> None:
    """MLflow answers for missing files."""
    fast = http.get(f"{root}/missing")
    with through_mlflow():
        slow = http.get(f"{root}/missing")
    assert (fast.status_code, fast.json()) == (slow.status_code, slow.json()) == (404, fast.json())
