"""Retention, selection, references and checks of mlflowctl, without a host."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from mlflow_host import gc as server_gc
from mlflow_host.settings import SettingsError
from mlflowctl import (
    cli,
    config,
    database,
    fence,
    frozen,
    gc,
    lock,
    orphans,
    restore,
    restored,
    retention,
    service,
    verify,
)
from mlflowctl.checker import Files, compare, compare_rows, walk
from mlflowctl.errors import Busy, ControlError
from mlflowctl.references import ANYTHING, Reference, Resolver
from mlflowctl.repository import INCOMPLETE, UNVERIFIED, VERIFIED, Point, _time, choose

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEEP = {"last": 3, "daily": 14, "weekly": 8, "monthly": 12}


def point(hours: float, state: str = VERIFIED, name: str = "") -> Point:
    """A point of so many hours ago."""
    time = NOW - timedelta(hours=hours)
    return Point(name or f"p{hours:g}{state}", f"s{hours:g}", time, state, ())


def test_retention_keeps_what_the_rules_say() -> None:
    """60 days, one point a day: 14 days, then one a week, then one a month."""
    points = [point(24 * day + 1) for day in range(60)]
    stay, go = retention.split(points, KEEP, NOW, 26)
    assert set(stay) | set(go) == set(points)
    days = sorted(round((NOW - kept.time).total_seconds() / 86400) for kept in stay)
    assert days[:14] == list(range(14))
    assert len(stay) == 14 + 6 + 1, days  # 8 weeks reach over 14 days by six; the month before by one
    assert len(go) == 60 - len(stay)


def test_failures_never_push_a_good_point_out() -> None:
    """Ten failed days in a row: the newest verified point is stale, and nothing is removed."""
    points = [point(24 * day + 1, INCOMPLETE if day < 10 else VERIFIED) for day in range(60)]
    with pytest.raises(ControlError, match="nothing is removed until backups work again"):
        retention.split(points, KEEP, NOW, 26)


def test_the_floor_holds_whatever_the_rules() -> None:
    """Three verified points stay even if the rules keep none; unverified older ones go, newer ones stay."""
    points = [point(h) for h in (1, 30, 60, 90)] + [point(0.5, UNVERIFIED), point(31, INCOMPLETE)]
    stay, go = retention.split(points, {}, NOW, 26)
    assert [p.name for p in stay] == ["p60verified", "p30verified", "p1verified", "p0.5unverified"]
    assert [p.name for p in go] == ["p90verified", "p31incomplete"]


@pytest.mark.parametrize(("points", "words"), [([], "no verified"), ([point(-48)], "lies in the future")])
def test_retention_refuses(points: list[Point], words: str) -> None:
    """No point, or a clock that is wrong: nothing is removed."""
    with pytest.raises(ControlError, match=words):
        retention.split(points, KEEP, NOW, 26)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("latest", "b"),
        ("aaa", "aaa1"),
        ("2026-11-21T09:00+00:00", "aaa1"),
        ("2026-11-21T11:30+00:00", "b"),
        ("c", "c"),
    ],
)
def test_choosing_a_point(wanted: str, name: str) -> None:
    """By name or its beginning, by time, or the latest verified one."""
    points = [point(5, name="aaa1"), point(2, name="b"), point(1, INCOMPLETE, "c")]
    assert choose(points, wanted, "local").name == name


@pytest.mark.parametrize("wanted", ["nonsense", "2026-11-20T00:00", "a"])
def test_no_such_point(wanted: str) -> None:
    """Neither a name nor a time, before every point, or the beginning of two."""
    with pytest.raises(ControlError):
        choose([point(5, name="aa"), point(2, name="ab")], wanted, "local")


def test_restic_times_have_nanoseconds() -> None:
    """As restic prints them, with and without a fraction."""
    assert _time("2026-11-21T07:34:07.123456789+01:00") == datetime(2026, 11, 21, 6, 34, 7, tzinfo=UTC)
    assert _time("2026-11-21T07:34:07Z") == datetime(2026, 11, 21, 7, 34, 7, tzinfo=UTC)


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


def test_walk_follows_no_link(tmp_path: Path) -> None:
    """Regular files only, with their sizes."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_text("four")
    (tmp_path / "link").symlink_to("/etc")
    assert list(walk(tmp_path)) == [("a/b/f", 4)]


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2592000), ("12h", 43200), ("0s", 0), ("5m", 300)])
def test_ages(text: str, seconds: int) -> None:
    """A number and its unit."""
    assert gc.parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1.5d", "30 d", "1w"])
def test_nonsense_is_no_age(text: str) -> None:
    """Refused, with the way to write it."""
    with pytest.raises(ControlError, match="such as 30d"):
        gc.parse_age(text)


def test_orphans_are_files_below_no_owner() -> None:
    """An owner's directory covers everything below it, and nothing beside it; uploads in progress are left out."""
    files = [("1/r/artifacts/a", 1), ("1/r2/x", 2), ("1/r2/y", 3), ("top", 4), ("1/r2/.artifact.uploading.z", 9)]
    assert orphans.ownerless(files, {"1/r/artifacts", "1/r22"}) == [("1/r2/x", 2), ("1/r2/y", 3), ("top", 4)]


def test_gc_deletes_nothing_but_directories_of_the_store() -> None:
    """The store itself, or a way out of it, is refused."""
    assert server_gc.directory("mlflow-artifacts:/1/r/artifacts", "/srv/store/") == "/srv/store/1/r/artifacts"
    assert server_gc.directory("mlflow-artifacts://host:443/1/a%20b", "/srv/store") == "/srv/store/1/a b"
    for uri in ("mlflow-artifacts:/", "mlflow-artifacts:", "mlflow-artifacts:/1/../..", "mlflow-artifacts:/%2e%2e/etc"):
        with pytest.raises(SettingsError, match="refusing to delete"):
            server_gc.directory(uri, "/srv/store")


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    """A second transaction is told who is at work, and gets its turn afterwards."""
    with (
        lock.exclusive(tmp_path, "backup"),
        pytest.raises(Busy, match="backup"),
        lock.exclusive(tmp_path, "drill"),
    ):
        pass
    with lock.exclusive(tmp_path, "drill"):
        pass


def test_the_fence_falls_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up inside, down after an error; without the unit's directory there is no backup."""
    monkeypatch.setattr(fence, "SETTLE_SECONDS", 0)
    path = tmp_path / "fence"
    with pytest.raises(RuntimeError), fence.raised(path):
        assert path.exists()
        raise RuntimeError
    assert not path.exists()
    with pytest.raises(ControlError, match="mlflowctl backup"), fence.raised(tmp_path / "none" / "fence"):
        pass


def settings(tmp_path: Path) -> dict[str, Any]:
    """A complete configuration."""
    paths = ("config_path", "root_path", "runtime_path", "volume_path", "state_path")
    return {name: str(tmp_path) for name in paths} | {
        "unit": "mlflow",
        "user": "mlflow",
        "group": "www-data",
        "public_url": "https://mlflow.example.com",
        "database": "mlflow",
        "database_role": "mlflow",
        "database_socket_path": "/run",
        "fence_file": str(tmp_path / "fence"),
        "closed_file": str(tmp_path / "closed"),
        "files": [],
        "keep": KEEP,
        "stale_hours": 26,
        "snapshot": "none",
        "gc_older_than": "90d",
        "notify": {"command": [], "mail": "", "url": ""},
        "repositories": [{"name": "local", "location": "/r", "password_file": "/p"}],
    }


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    """A setting too few or too many, or no repository: the message says which."""
    good = settings(tmp_path)
    assert config.parse(good, "x").store == tmp_path / "store"
    for change, words in (
        ({"unit": None}, "missing .'unit'"),
        ({"more": 1}, "unknown .'more'"),
        ({"repositories": []}, "no repository"),
    ):
        data = {name: value for name, value in (good | change).items() if value is not None}
        with pytest.raises(ControlError, match=words):
            config.parse(data, "x")
    with pytest.raises(ControlError, match="use one of local"):
        config.parse(good, "x").repository("remote")


def test_status_names_what_is_overdue(tmp_path: Path) -> None:
    """Never, too long ago, or failed since."""
    instance = config.parse(settings(tmp_path), "x")
    assert "ever taken" in verify.status(instance, {})["problems"][0]
    old = {"backup": {"ok": True, "success": {"time": datetime.now(UTC).timestamp() - 27 * 3600}}}
    assert "27 h old" in verify.status(instance, old)["problems"][0]
    failed = {
        "backup": {"ok": True, "success": {"time": datetime.now(UTC).timestamp()}},
        "drill": {"ok": False, "failure": {"at": "then", "error": "no room"}},
    }
    assert verify.status(instance, failed)["problems"] == ["the last drill failed at then: no room"]


def test_the_services_environment_is_read_as_systemd_reads_it(tmp_path: Path) -> None:
    """Quotes are not part of a value; comments and empty lines are none."""
    (tmp_path / "mlflow.env").write_text('# a comment\n\nPLAIN=a=b\nQUOTED="WARNING"\nSPACES="a \\"b\\" c"\n')
    found = service.environment(replace(config.parse(settings(tmp_path), "x"), config_path=tmp_path))
    assert found == {"PLAIN": "a=b", "QUOTED": "WARNING", "SPACES": 'a "b" c', "PATH": "/usr/bin:/bin"}


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
    restore._clean(instance, restored.Place(point, root, "mlflow_restore"))
    assert root.exists() == pending
    assert dropped == ([] if pending else ["mlflow_restore"])


def test_every_command_speaks_json_and_explains_itself(tmp_path: Path) -> None:
    """--json and --help everywhere; without a configuration the error is JSON and the exit code 2."""
    runner = CliRunner(env={"MLFLOWCTL_CONFIG": str(tmp_path / "none")})
    names = []
    for name, command in cli.main.commands.items():
        if isinstance(command, click.Group):
            names += [f"{name} {below}" for below in command.commands]
        elif not command.hidden:
            names.append(name)
    assert {"backup", "restore", "drill", "verify", "status", "leftovers delete", "orphans list"} <= set(names)
    needs_one = {"notify", "create-repository", "leftovers delete", "leftovers put-back"}
    for name in names:
        shown = runner.invoke(cli.main, [*name.split(), "--help"])
        assert "--json" in shown.output, name
        done = runner.invoke(cli.main, [*name.split(), *["local"] * (name in needs_one), "--json"])
        assert done.exit_code == 2, name
        assert "cannot read" in json.loads(done.stdout)["error"], name
