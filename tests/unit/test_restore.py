"""Orders and the copy that a restore makes."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflowctl import (
    backup,
    config,
    copies,
    database,
    frozen,
    host_files,
    restore,
    restored,
)
from mlflowctl.errors import ControlError
from mlflowctl.repository import VERIFIED, Point

from tests.unit.helpers import settings


@pytest.mark.parametrize("path", ["/plain/path", "/with [brackets]/x", "/star*/q?", "/back\\slash"])
def test_a_path_is_no_pattern(path: str) -> None:
    """restic's patterns are Go's, which escape as fnmatch's brackets do not: so compare what Go would match."""
    escaped = restored.literal(path)
    assert re.sub(r"\\(.)", r"\1", escaped) == path
    assert not re.search(r"(?<!\\)[*?\[]", escaped)


def test_options_that_exclude_each_other_are_refused() -> None:
    """One part at a time; the order travels to the unit as it was given."""
    order = restore.Order("latest", replace_live=True, model="wine/1")
    assert order.arguments() == ["latest", "--replace-live", "--model", "wine/1"]
    with pytest.raises(ControlError, match="--run and --model"):
        restore.Order("latest", run="a", model="b")


@pytest.mark.parametrize(
    ("code", "said", "fine"),
    [
        (0, "", True),
        (1, "cp: cannot stat '/v/store/1/.artifact.uploading.x': No such file or directory", True),
        (1, "cp: cannot stat '/v/store/1/model.pkl': No such file or directory", False),
        (1, "cp: failed to clone '/v/.point/store/a' from '/v/store/a': Operation not supported", False),
        (1, "", False),
    ],
)
def test_only_an_upload_may_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str, fine: bool
) -> None:
    """While the store is cloned, uploads are completed; anything else that cannot be cloned is an error."""
    instance = config.parse(settings(tmp_path) | {"snapshot": "reflink"}, "x")
    monkeypatch.setattr(frozen, "run", lambda *_, **__: subprocess.CompletedProcess([], code, "", said))
    with nullcontext() if fine else pytest.raises(ControlError, match="Set it to none"), frozen.frozen(instance):
        pass
    assert not frozen.place(instance).exists()


@pytest.mark.parametrize("pending", [False, True])
def test_a_swap_that_is_still_to_be_undone_keeps_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pending: bool
) -> None:
    """If putting back failed too, `recover` needs the directory and the database that it puts the copy back to."""
    instance = replace(config.parse(settings(tmp_path), "x"), state_path=tmp_path)
    root, dropped = tmp_path / "restore-x", []
    root.mkdir()
    if pending:
        (tmp_path / "swap.json").touch()
    monkeypatch.setattr(database, "drop", lambda _, name: dropped.append(name))
    point = Point("x", "s", datetime.now(UTC), VERIFIED, ())
    restore._clean(instance, copies.Place(point, root, "mlflow_restore"))
    assert root.exists() == pending
    assert dropped == ([] if pending else ["mlflow_restore"])


@pytest.fixture
def tampered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> copies.Copy:
    """A copy of a point that somebody else has written, and a host with a directory of certificates."""
    tls, root = tmp_path / "host" / "tls", tmp_path / "restore"
    tls.mkdir(parents=True)
    instance = replace(config.parse(settings(tmp_path), "x"), config_path=tmp_path / "host")
    copy = copies.Copy(copies.Place(Point("x", "s", datetime.now(UTC), VERIFIED, ()), root, "d"), instance, {})
    (copy.stage / "host" / str(tls).lstrip("/")).mkdir(parents=True)
    monkeypatch.setattr("mlflowctl.access.load", lambda: SimpleNamespace(tls=tls))
    monkeypatch.setattr(host_files, "run", lambda *_: None)
    return copy


def test_a_point_does_not_say_where_its_certificates_go(tampered: copies.Copy, tmp_path: Path) -> None:
    """Nor who may read them: the host knows, and what it does not know is left alone."""
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
    """What a link of the copy points to is a file of this host's: it becomes no certificate and no secret."""
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
    ],
)
def test_tokens_of_a_point_are_looked_at(tampered: copies.Copy, change: dict[str, object]) -> None:
    """Their names become names of files, and their hashes lines of them."""
    token = {
        "name": "ci", "owner": "ada", "role": "editor", "hash": "{SSHA}" + "A" * 40,
        "created": "2026-11-21T00:00:00+00:00", "lifetime": None, "expires": None,
    }  # fmt: skip
    target = tampered.config.config_path / "access" / "tokens.json"
    target.parent.mkdir()
    file = tampered.stage / "host" / str(target).lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps([token | change]))
    with pytest.raises(ControlError, match="tokens of the recovery point"):
        host_files.put_tokens(tampered)
    assert not target.exists()
    file.write_text(json.dumps([token]))
    host_files.put_tokens(tampered)
    assert json.loads(target.read_text()) == [token]


@pytest.mark.parametrize(
    "store",
    ["/", "//", "/.", "/store", "/srv/mlflow/", "/srv//store", "/srv/../store", "store", "", None, 5, ["/srv/store"],
     "/srv/a\0b", "/srv/\ud800", "/srv/a\nb", "{stage}", "{stage}/host", "{above}"],
)  # fmt: skip
def test_a_point_does_not_lie_beside_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: object) -> None:
    """With a store of `/` a drill would write its sentinel over that of the live volume, and own the dump's keys."""
    instance = config.parse(settings(tmp_path), "x")
    point = Point("p", "s", datetime.now(UTC), VERIFIED, ())
    if isinstance(store, str):
        store = store.replace("{stage}", str(instance.stage)).replace("{above}", str(instance.stage.parent))

    class Repository:
        wanted = store

        def restore(self, _snapshot: str, target: Path, include: object) -> None:
            stage = target / str(instance.stage).lstrip("/")
            stage.mkdir(parents=True)
            (stage / backup.FACTS).write_text(json.dumps({"store": self.wanted}))

    repository = Repository()
    with pytest.raises(ControlError, match="which no host writes"):
        restored.facts(instance, repository, point, tmp_path / "copy")  # type: ignore[arg-type]
    for right in ("/srv/mlflow/store", "/mnt/old volume/store", str(instance.store)):
        repository.wanted = right
        assert restored.facts(instance, repository, point, tmp_path / "copy")["store"] == right  # type: ignore[arg-type]
