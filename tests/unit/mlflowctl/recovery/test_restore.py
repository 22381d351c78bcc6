"""Orders and the copy that a restore makes."""

from __future__ import annotations

import importlib
import json
import os
import re
import stat
import subprocess
from contextlib import nullcontext
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflowctl import stores
from mlflowctl.access.declared import User
from mlflowctl.core import process
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.recovery import backup, copies, description, host_files, preflight, restore, restored
from mlflowctl.recovery import repository as repositories
from mlflowctl.recovery.repository import VERIFIED, Point
from mlflowctl.stores import references
from mlflowctl.stores.artifacts.local import frozen
from mlflowctl.stores.artifacts.local.store import LocalVolume
from mlflowctl.stores.database.postgresql import store as postgresql
from mlflowctl.stores.database.postgresql.server import Server

from tests.unit.helpers import configured

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("path", ["/plain/path", "/with [brackets]/x", "/star*/q?", "/back\\slash"])
def test_a_path_is_no_pattern(path: str) -> None:
    """restic's patterns are Go's, which escape as fnmatch's brackets do not: so compare what Go would match."""
    escaped = repositories.literal(path)
    assert re.sub(r"\\(.)", r"\1", escaped) == path
    assert not re.search(r"(?<!\\)[*?\[]", escaped)


def test_every_step_at_which_a_restore_is_killed_exists() -> None:
    """A scenario replaces them by name; a missing one would never be reached."""
    source = (ROOT / "tests/scenarios/default/recovery/test_restore.py").read_text()
    steps = re.findall(r'"([a-z_.]+):([\w.]+)"', source)
    assert ("core.service", "stop") in steps
    for module, name in steps:
        found = importlib.import_module("os" if module == "os" else f"mlflowctl.{module}")
        assert callable(attrgetter(name)(found)), f"{module}:{name}"


def test_options_that_exclude_each_other_are_refused() -> None:
    """One part at a time; the request reaches the unit unchanged."""
    order = restore.Request("latest", replace_live=True, model="wine/1")
    assert order.arguments() == ["latest", "--replace-live", "--model", "wine/1"]
    with pytest.raises(ControlError, match="--run and --model"):
        restore.Request("latest", run="a", model="b")


@pytest.mark.parametrize(
    ("code", "message", "fine"),
    [
        (0, "", True),
        (1, "cp: cannot stat '/v/store/1/.artifact.uploading.x': No such file or directory", True),
        (1, "cp: cannot stat '/v/store/1/model.pkl': No such file or directory", False),
        (1, "cp: failed to clone '/v/.point/store/a' from '/v/store/a': Operation not supported", False),
        (1, "", False),
    ],
)
def test_only_an_upload_may_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str, fine: bool
) -> None:
    """While the store is cloned, uploads are completed; anything else that cannot be cloned is an error."""
    instance = configured(tmp_path, recovery={"snapshot": "reflink"})
    monkeypatch.setattr(frozen, "run", lambda *_, **__: subprocess.CompletedProcess([], code, "", message))
    volume = LocalVolume.of(instance)
    with nullcontext() if fine else pytest.raises(ControlError, match="Set it to none"), volume.freeze():
        pass
    assert not volume.frozen.place.exists()


@pytest.mark.parametrize("pending", [False, True])
def test_a_swap_that_is_still_to_be_undone_keeps_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pending: bool
) -> None:
    """If putting back failed too, `recover` needs the directory and the database that it puts the copy back to."""
    instance = configured(tmp_path)
    root, dropped = tmp_path / "restore-x", []
    root.mkdir()
    if pending:
        (tmp_path / "swap.json").touch()
    monkeypatch.setattr(postgresql.PostgreSQL, "drop", lambda _, name: dropped.append(name))
    point = Point("x", "s", datetime.now(UTC), VERIFIED, ())
    restore._clean(instance, copies.Place(point, root, "mlflow_restore"))
    assert root.exists() == pending
    assert dropped == ([] if pending else ["mlflow_restore"])


@pytest.fixture
def tampered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> copies.Copy:
    """A copy of a tampered point, and a host with a directory of certificates."""
    tls, root = tmp_path / "host" / "tls", tmp_path / "restore"
    tls.mkdir(parents=True)
    instance = configured(tmp_path, instance={"config_path": str(tmp_path / "host")})
    copy = copies.Copy(copies.Place(Point("x", "s", datetime.now(UTC), VERIFIED, ()), root, "d"), instance, {})
    (copy.stage / "host" / str(tls).lstrip("/")).mkdir(parents=True)
    monkeypatch.setattr("mlflowctl.access.declared.load", lambda: SimpleNamespace(tls=tls))
    ada = User("ada", "admin", "", "present")
    monkeypatch.setattr("mlflowctl.access.declared.users", lambda _: {"ada": ada})
    monkeypatch.setattr(host_files, "run", lambda *_: None)
    return copy


def test_a_point_does_not_choose_the_paths_of_certificates(tampered: copies.Copy, tmp_path: Path) -> None:
    """Nor who may read them: the host decides, and unknown files are not touched."""
    bundled = tampered.stage / "host"
    elsewhere, tls = tmp_path / "elsewhere" / "tls", tmp_path / "host" / "tls"
    elsewhere.mkdir(parents=True)
    owners = {}
    for target in (
        tls / "server.key",
        tls / "server.crt",
        tls / "other",
        elsewhere / "server.key",
        tmp_path / "tls" / "x",
    ):
        file = bundled / str(target).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("of the point")
        owners[str(target)] = ["nobody", "nogroup", "4777"]
    (bundled / "point.json").write_text(json.dumps({"owners": owners}))
    host_files.put_tls(tampered)
    assert {path.name: path.stat().st_mode & 0o7777 for path in tls.iterdir()} == {
        "server.key": 0o600,
        "server.crt": 0o644,
    }
    assert {path.stat().st_uid for path in tls.iterdir()} == {0}
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "directory"])
def test_a_link_in_a_point_is_not_followed(tampered: copies.Copy, tmp_path: Path, place: str) -> None:
    """The target of a link in the copy is a file of this host: it must not become a certificate or secret."""
    tls, private = tmp_path / "host" / "tls", tmp_path / "private"
    private.mkdir()
    (private / "server.crt").write_text("a secret of this host")
    copied = tampered.stage / "host" / str(tls).lstrip("/")
    if place == "file":
        (copied / "server.crt").symlink_to(private / "server.crt")
    else:
        copied.rmdir()
        copied.symlink_to(private)
    host_files.put_tls(tampered)
    assert list(tls.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../x"},
        {"owner": "a/b"},
        {"role": "root"},
        {"hash": "{SHA}x\nada:y"},
        {"more": 1},
        {"expires": "soon"},
        {"expires": "2026-11-21"},
        {"expires": 5},
        {"expires": ["x"]},
        {"expires": "0001-01-01T00:00:00+14:00", "created": "now"},
        {"created": None},
        {"created": 5},
        {"created": {}},
        {"lifetime": "5"},
        {"lifetime": True},
        {"name": 5},
        {"name": ["ci"]},
        {"name": None},
        {"owner": {}},
        {"role": ["editor"]},
        {"hash": None},
        {"name": "ci\n"},
    ],
)
def test_tokens_of_a_point_are_checked(
    tampered: copies.Copy, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names become names of files, and their hashes lines of them."""
    token = {
        "name": "ci", "owner": "ada", "role": "editor", "hash": "{SSHA}" + "A" * 40,
        "created": "2026-11-21T00:00:00+00:00", "lifetime": None, "expires": None,
    }  # fmt: skip
    target = tampered.config.instance.config_path / "access" / "tokens.json"
    target.parent.mkdir()
    file = tampered.stage / "host" / str(target).lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps([token | change]))
    with pytest.raises(ControlError, match="tokens of the recovery point"):
        host_files.put_tokens(tampered, print)
    assert not target.exists()
    file.write_text(json.dumps([token]))
    started: list[list[str]] = []
    monkeypatch.setattr(host_files, "run", started.append)
    host_files.put_tokens(tampered, print)
    assert json.loads(target.read_text()) == [token]
    (name,) = [command[-1] for command in started]
    assert (ROOT / "roles/mlflow_access/templates/systemd" / f"{name}.j2").is_file()


TOKEN = (
    '{"name": "ci", "owner": "ada", "role": "editor", "hash": "{SSHA}' + "A" * 40 + '",'
    ' "created": "2026-11-21T00:00:00+00:00", "lifetime": null, "expires": null}'
)


@pytest.mark.parametrize(
    "content",
    [f"[{TOKEN},{TOKEN}]", "[" * 100_000, "{" + '"a":{' * 50_000, TOKEN, "5", "null", '"x"', "[5]", "[[]]", "", "\xff", "[" + "9" * 5000 + "]"],
    ids=["twice", "deep list", "deep object", "object", "number", "null", "text", "list of numbers", "list of lists", "empty", "no UTF-8", "long number"],
)  # fmt: skip
def test_an_invalid_file_of_tokens_is_refused(tampered: copies.Copy, content: str) -> None:
    """It is refused with a sentence, and no token is restored."""
    target = put(tampered, content)
    with pytest.raises(ControlError, match="tokens of the recovery point"):
        host_files.put_tokens(tampered, print)
    assert not target.exists()


def put(copy: copies.Copy, content: str) -> Path:
    """Put a file of tokens into a point; returns where the host would have it."""
    target = copy.config.instance.config_path / "access" / "tokens.json"
    target.parent.mkdir()
    file = copy.stage / "host" / str(target).lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(content.encode("latin-1"))
    return target


def test_a_token_does_not_take_the_name_of_a_user(tampered: copies.Copy) -> None:
    """Its line would override theirs: it is not restored, with a message, and the others are."""
    target = put(tampered, f"[{TOKEN},{TOKEN.replace('ci', 'ada', 1)}]")
    message: list[str] = []
    host_files.put_tokens(tampered, message.append)
    assert [token["name"] for token in json.loads(target.read_text())] == ["ci"]
    assert len(message) == 1
    assert "token ada is not restored" in message[0]


FACTS = {
    "store": "/srv/mlflow/store", "revision": "abc", "release": "3.17.2", "sha256": "00", "postgresql": 15, "dump_bytes": 5,
    "rows": {"runs": 1}, "database_time": "2026-11-21 12:00:00+00:00",
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"revision": 5}, {"rows": []}, {"rows": {"runs": "1"}}, {"dump_bytes": "5"}, {"dump_bytes": -1}, {"dump_bytes": True},
        {"postgresql": None}, {"sha256": ["x"]}, {"database_time": "yesterday"}, {"database_time": 5}, {"database_time": "2026-11-21"},
    ],
)  # fmt: skip
def test_a_description_has_the_types_that_a_host_writes(tmp_path: Path, change: dict[str, object]) -> None:
    """Otherwise the restore would fail in the middle."""
    (tmp_path / "stage").mkdir()
    file = tmp_path / "stage" / backup.FACTS
    file.write_text(json.dumps(FACTS))
    assert description.read(tmp_path, Path("/stage"), backup.FACTS) == FACTS
    file.write_text(json.dumps(FACTS | change))
    with pytest.raises(ControlError, match="cannot be used"):
        description.read(tmp_path, Path("/stage"), backup.FACTS)


@pytest.mark.parametrize("content", ["", "[]", "5", "[" * 100_000, '{"store"', "\xff"])
def test_a_description_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    """With a sentence."""
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / backup.FACTS).write_bytes(content.encode("latin-1"))
    with pytest.raises(ControlError, match="cannot be used"):
        description.read(tmp_path, Path("/stage"), backup.FACTS)


@pytest.mark.parametrize("name", [backup.FACTS, backup.DUMP, backup.MANIFEST, "host/etc/mlflow/secrets/x", "host"])
@pytest.mark.parametrize("kind", ["link", "pipe", "device", "socket"])
def test_a_point_has_files_only(tmp_path: Path, name: str, kind: str) -> None:
    """Reading them later by path reads nothing else: no file of this host, and no endless pipe."""
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / backup.FACTS).write_text(json.dumps(FACTS))
    (stage / name).parent.mkdir(parents=True, exist_ok=True)
    (stage / name).unlink(missing_ok=True)
    match kind:
        case "link":
            (tmp_path / "facts").write_text(json.dumps(FACTS))
            (stage / name).symlink_to(tmp_path / "facts")
        case "pipe":
            os.mkfifo(stage / name)
        case "device":
            os.mknod(stage / name, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
        case "socket":
            os.mknod(stage / name, stat.S_IFSOCK | 0o600)
    with pytest.raises(ControlError, match=f"{name} of the point is not a regular file"):
        description.read(tmp_path, Path("/stage"), backup.FACTS)


def test_a_description_is_small(tmp_path: Path) -> None:
    """A sparse file of a terabyte fits into any repository."""
    (tmp_path / "stage").mkdir()
    with (tmp_path / "stage" / backup.FACTS).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ControlError, match="bytes: use another point"):
        description.read(tmp_path, Path("/stage"), backup.FACTS)


@pytest.mark.parametrize(
    "content",
    ["{}", "[]", "5", "[" * 100_000, '{"kind": 1, "name": "", "path": "", "need": "", "uri": "", "present": true}',
     '{"kind": "", "name": "", "path": "", "need": "", "uri": "", "present": "yes"}', "\xff", "x" * 3_000_000],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    """With a sentence, for any content."""
    file = tmp_path / backup.MANIFEST
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ControlError, match=f"{backup.MANIFEST} of the point cannot be used"):
        list(references.read(file))


@pytest.mark.parametrize(
    ("server", "tool", "fits"), [(15, 15, False), (17, 15, False), (15, 17, False), (17, 18, True)]
)
def test_an_older_postgresql_is_refused_by_the_points_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: int, tool: int, fits: bool
) -> None:
    """Only the description is fetched for that; an older scratch database is not touched either."""
    instance = configured(tmp_path)
    place = copies.Place(Point("p", "s", datetime.now(UTC), VERIFIED, ()), tmp_path / "copy", "mlflow_restore")
    fetched: list[list[str]] = []
    reached = RuntimeError("the rest is fetched")

    class Repository:
        def restore(self, _snapshot: str, target: Path, include: list[str]) -> None:
            fetched.append(include)
            stage = target / str(instance.instance.stage).lstrip("/")
            stage.mkdir(parents=True)
            (stage / backup.FACTS).write_text(json.dumps(FACTS | {"postgresql": 17}))

    def drop(*_: object) -> None:
        raise reached

    monkeypatch.setattr(postgresql.PostgreSQL, "drop", drop)
    monkeypatch.setattr(Server, "major", lambda _: server)
    monkeypatch.setattr(postgresql, "tool_major", lambda _: tool)
    monkeypatch.setattr(preflight, "release_head", lambda _: FACTS["revision"])
    with pytest.raises(
        RuntimeError if fits else Refused, match="rest is fetched" if fits else "17, and this host has 15"
    ):
        restored.fetch(instance, Repository(), place, print)  # type: ignore[arg-type]
    assert fetched == [[f"{instance.instance.stage}/{backup.FACTS}"]]


@pytest.mark.parametrize("argument", ["a\0b", "x" * (1 << 18)])
def test_an_argument_that_no_program_can_have(argument: str) -> None:
    """It is reported in a sentence, like any other error of a program."""
    with pytest.raises(ControlError, match="cannot be run"):
        process.run(["true", argument])
    with pytest.raises(ControlError, match="cannot be run"):
        list(process.lines(["true", argument]))


@pytest.mark.parametrize(
    "store",
    ["/", "//", "/.", "/store", "/srv/mlflow/", "/srv//store", "/srv/../store", "store", "", None, 5, ["/srv/store"],
     "/srv/a\0b", "/srv/\ud800", "/srv/a\nb", "{stage}", "{stage}/host", "{above}"],
)  # fmt: skip
def test_a_point_does_not_lie_beside_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: object) -> None:
    """With a store of `/` a drill would write its sentinel over that of the live volume, and own the dump's keys."""
    instance = configured(tmp_path)
    point = Point("p", "s", datetime.now(UTC), VERIFIED, ())
    if isinstance(store, str):
        store = store.replace("{stage}", str(instance.instance.stage)).replace(
            "{above}", str(instance.instance.stage.parent)
        )

    class Repository:
        wanted = store

        def restore(self, _snapshot: str, target: Path, include: object) -> None:
            stage = target / str(instance.instance.stage).lstrip("/")
            stage.mkdir(parents=True)
            (stage / backup.FACTS).write_text(json.dumps(FACTS | {"store": self.wanted}))

    repository = Repository()
    with pytest.raises(ControlError, match=r"which is not a valid path|store is not a text"):
        restored.facts(instance.instance, repository, point, tmp_path / "copy")  # type: ignore[arg-type]
    for right in ("/srv/mlflow/store", "/mnt/old volume/store", stores.artifacts.of(instance).address):
        repository.wanted = right
        assert restored.facts(instance.instance, repository, point, tmp_path / "copy")["store"] == right  # type: ignore[arg-type]
