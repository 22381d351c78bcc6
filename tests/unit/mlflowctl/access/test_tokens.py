"""Tokens, nginx's files for logins, and the audit log."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflowctl.access import audit, certificates, declared, issue, logins, uses
from mlflowctl.cli.console import Output
from mlflowctl.core.errors import ControlError
from passlib.hash import ldap_salted_sha1

from tests.unit.helpers import NOW

USERS = [
    {"name": "ada", "role": "admin", "hash": "$6$a", "state": "present"},
    {"name": "eve", "role": "editor", "hash": "$6$e", "state": "present"},
    {"name": "leo", "role": "viewer", "hash": "$6$l", "state": "locked"},
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> declared.Access:
    """A host with three users."""
    monkeypatch.setattr("shutil.chown", lambda *_args, **_more: None)
    users(tmp_path, USERS)
    return declared.Access(
        tmp_path,
        tmp_path / "logins",
        "www-data",
        "mlflow-login",
        tmp_path / "login.log",
        tmp_path / "audit.log",
        tmp_path,
        "https://m.example.com",
        None,
        [],
        21,
    )


def users(path: Path, entries: list[dict[str, str]]) -> None:
    """The users as the playbook writes them."""
    (path / "users.json").write_text(json.dumps(entries))


def make(place: declared.Access, name: str, owner: str, role: str | None, expires: str) -> dict[str, Any]:
    """Make a token."""
    return issue.create(place, issue.TokenRequest(name, owner, role, expires), NOW)


def reached(place: declared.Access) -> dict[str, list[str]]:
    """The roles by name, as nginx would find them."""
    names = {path.name for kind in ("passwords", "tokens") for path in (place.logins / kind).glob("[!.]*")}
    return {name: [role for role in declared.ROLES if (place.logins / role / name).exists()] for name in sorted(names)}


def test_names_reach_their_role_and_those_below(place: declared.Access) -> None:
    """A locked user is missing; a user without a password has one that never matches; groups may read, others may not."""
    os.umask(0o077)  # as the command line sets it
    assert logins.apply(place, NOW) == {"changed": True, "users": 2, "tokens": 0}
    assert reached(place) == {"ada": ["viewer", "editor", "admin"], "eve": ["viewer", "editor"]}
    assert (place.logins / "passwords" / "ada").read_text() == "x:$6$a\n"
    assert (place.logins / "passwords" / ".nobody").read_text() == "x:$6$.\n"
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in place.logins.rglob("*")}
    assert modes == {True: 0o750, False: 0o640}
    assert place.logins.stat().st_mode & 0o777 == 0o711


def test_an_entry_leads_elsewhere_only_if_its_own_login_changes(place: declared.Access) -> None:
    """nginx's cache is keyed by it: one user's new password does not affect the others."""
    logins.apply(place, NOW)
    before = {name: (place.logins / "entries" / name).resolve() for name in ("ada", "eve", ".nobody")}
    users(place.path, [USERS[0] | {"hash": "$6$other"}, USERS[1]])
    logins.apply(place, NOW)
    after = {name: (place.logins / "entries" / name).resolve() for name in before}
    assert {name for name in before if before[name] != after[name]} == {"ada"}
    assert all(path.is_dir() for path in after.values())
    # Old entries are removed.
    assert {path for path in (place.logins.parent / "entries").iterdir()} == set(after.values())


def test_the_link_moves_only_when_something_changes(place: declared.Access) -> None:
    """nginx caches logins by the link's target. Old targets are removed."""
    logins.apply(place, NOW)
    first = place.logins.readlink()
    assert logins.apply(place, NOW)["changed"] is False
    users(place.path, USERS[1:])
    assert logins.apply(place, NOW)["changed"] is True
    assert place.logins.readlink() != first
    assert [path.name for path in place.path.glob("logins.*")] == [place.logins.readlink().name]


def test_a_run_that_was_killed_harms_nothing(place: declared.Access) -> None:
    """An incomplete directory is removed."""
    (place.path / "logins.partial" / "admin").mkdir(parents=True)
    (place.path / "logins.partial" / "admin" / "eve").touch()
    logins.apply(place, NOW)
    assert reached(place)["eve"] == ["viewer", "editor"]


def test_a_token_logs_in_and_only_its_hash_is_kept(place: declared.Access) -> None:
    """With the scheme {SSHA}, which nginx supports."""
    made = make(place, "ci", "ada", "editor", "90d")
    name, secret = base64.b64decode(made["token"]).decode().split(":")
    line = (place.logins / "tokens" / "ci").read_text().strip()
    assert name == "ci"
    assert ldap_salted_sha1.verify(secret, line.removeprefix("ci:"))
    assert reached(place)["ci"] == ["viewer", "editor"]
    assert made["expires"] == "2027-02-19T12:00:00+00:00"
    assert secret not in "".join(path.read_text() for path in place.path.rglob("*") if path.is_file())
    assert (place.path / "tokens.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"name": "a/b"}, "cannot be used"),
        ({"name": ".."}, "cannot be used"),
        ({"name": "ada"}, "is a user's name"),
        ({"name": "leo"}, "is a user's name"),
        ({"name": "old"}, "there is a token 'old'"),
        ({"owner": "bob"}, "there is no active user 'bob': use one of ada, eve"),
        ({"owner": "leo"}, "there is no active user 'leo'"),
        ({"role": "root"}, "there is no role 'root'"),
        ({"role": "admin"}, "'eve' is editor: their tokens cannot be admin"),
        ({"expires": "soon"}, "--expires is 'soon'"),
        ({"expires": "0d"}, "at once"),
    ],
)
def test_bad_requests_for_tokens_are_refused(place: declared.Access, asked: dict[str, str], message: str) -> None:
    """Each with its reason, and nothing changes."""
    make(place, "old", "eve", None, "never")
    before = (place.path / "tokens.json").read_text()
    with pytest.raises(ControlError, match=message):
        make(place, **({"name": "ci", "owner": "eve", "role": "editor", "expires": "1d"} | asked))
    assert (place.path / "tokens.json").read_text() == before


def test_tokens_expire_and_stop_with_their_owner(place: declared.Access) -> None:
    """Expired, revoked, demoted, locked, removed."""
    make(place, "day", "ada", None, "1d")
    make(place, "ever", "ada", None, "never")
    logins.apply(place, NOW + timedelta(hours=23))
    assert {"day", "ever"} <= reached(place).keys()
    logins.apply(place, NOW + timedelta(days=1))
    assert "day" not in reached(place)
    assert [entry["state"] for entry in issue.listing(place, NOW + timedelta(days=1))] == ["expired", "valid"]

    users(place.path, [USERS[0] | {"role": "viewer"}, USERS[1]])
    logins.apply(place, NOW)
    assert reached(place)["ever"] == ["viewer"]
    users(place.path, [USERS[0] | {"state": "locked"}, USERS[1]])
    logins.apply(place, NOW)
    assert "ever" not in reached(place)
    assert issue.listing(place, NOW)[1]["state"] == "owner cannot log in"

    users(place.path, USERS)
    issue.revoke(place, "ever", NOW)
    assert "ever" not in reached(place)
    with pytest.raises(ControlError, match="no token 'ever'"):
        issue.revoke(place, "ever", NOW)


def test_rotation_ends_the_old_secret(place: declared.Access) -> None:
    """A new secret, the same role and owner, the whole lifetime again."""
    first = make(place, "ci", "eve", "viewer", "10d")
    old = (place.logins / "tokens" / "ci").read_text()
    second = issue.rotate(place, "ci", NOW + timedelta(days=9))
    assert (place.logins / "tokens" / "ci").read_text() != old
    assert (second["owner"], second["role"], second["expires"][:10]) == ("eve", "viewer", "2026-12-10")
    assert first["token"] != second["token"]


def test_a_user_with_the_name_of_a_token_is_refused(place: declared.Access) -> None:
    """It would be ambiguous; nginx's files stay as they are."""
    make(place, "bob", "ada", None, "never")
    before = place.logins.readlink()
    users(place.path, [*USERS, {"name": "bob", "role": "viewer", "hash": "x", "state": "present"}])
    with pytest.raises(ControlError, match="the name of a user and of a token"):
        logins.apply(place, NOW)
    assert place.logins.readlink() == before


def test_the_last_use_survives_rotated_logs(place: declared.Access) -> None:
    """Reading continues where it stopped, also after rotation; failed logins are no use."""

    def line(name: str, hour: int, status: int = 200) -> str:
        return json.dumps({"time": f"2026-11-21T{hour:02}:00:00+00:00", "name": name, "status": status}) + "\n"

    place.login_log.write_text(line("ci", 1) + line("eve", 2, 403) + line("bob", 3, 401) + '{"cut')
    assert {name: time[11:13] for name, time in uses.last(place).items()} == {"ci": "01", "eve": "02"}
    with place.login_log.open("a") as log:
        log.write("\n" + line("ci", 4))
    place.login_log.rename(place.path / "login.log.1")
    place.login_log.write_text(line("eve", 5))
    assert {name: time[11:13] for name, time in uses.last(place).items()} == {"ci": "04", "eve": "05"}
    place.login_log.unlink()
    (place.path / "login.log.1").unlink()
    assert {name: time[11:13] for name, time in uses.last(place).items()} == {"ci": "04", "eve": "05"}


def test_the_audit_log_is_read_across_rotations(place: declared.Access) -> None:
    """Oldest first, by user and by time; an incomplete line is skipped."""

    def line(name: str, time: str) -> str:
        return json.dumps({"time": time, "name": name}) + "\n"

    with gzip.open(place.path / "audit.log.2.gz", "wt") as log:
        log.write(line("ada", "2026-11-18T12:00:00+00:00"))
    (place.path / "audit.log.1").write_text(line("eve", "2026-11-20T12:00:00+00:00") + "{half\n")
    place.audit_log.write_text(line("ada", "2026-11-21T11:00:00+00:00"))

    def days(user: str | None = None, since: str | None = None) -> list[Any]:
        return [entry["time"][8:10] for entry in audit.read(place, user, since, NOW)]

    assert days() == ["18", "20", "21"]
    assert days(user="ada") == ["18", "21"]
    assert days(since="2d") == ["20", "21"]
    assert days(user="ada", since="2026-11-19T00:00:00+00:00") == ["21"]
    for bad in ("yesterday", "2x"):
        with pytest.raises(ControlError, match="--since"):
            days(since=bad)


def test_a_strange_line_of_the_audit_log_is_skipped(place: declared.Access, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that nginx has not written are skipped; values from clients contain no control characters."""
    fine = {"time": "2026-11-21T11:00:00+00:00", "name": "ada"}
    reported = fine | {"route": "/[/x]\x1b[2J\u202e", "model": "100%25 \u00fc%0A", "version": "1"}
    strange = [
        [],
        "x",
        7,
        None,
        {},
        {"name": "ada"},
        fine | {"time": None},
        fine | {"time": 5},
        fine | {"time": "2026-11-21T11:00:00"},
        fine | {"time": "soon"},
        fine | {"name": ["ada"]},
        {"time": fine["time"]},
        fine | {"model": {"a": 1}, "run": 7, "version": None, "status": "x", "route": None},
        reported,
        fine | {"model": "100%25"},
    ]
    lines = [json.dumps(line) for line in strange] + ["[" * 100_000, "\x00", "9" * 5000, '{"time": NaN, "name": "ada"}']
    place.audit_log.write_text("\n".join(lines) + "\n")
    (place.path / "audit.log.1x").write_text("not ours")
    with gzip.open(place.path / "audit.log.2.gz", "wt") as log:
        log.write(json.dumps(fine | {"name": "eve"}) + "\n" + json.dumps([str(n) for n in range(5000)]))
    whole = (place.path / "audit.log.2.gz").read_bytes()
    (place.path / "audit.log.2.gz").write_bytes(whole[: len(whole) - 10])
    assert [line.get("model") for line in audit.read(place, "ada", "2d", NOW)] == [{"a": 1}, "100% ü\n", "100%25"]
    assert [line["name"] for line in audit.read(place, "eve", None, NOW)] in (["eve"], [])
    Output(json=False).table(audit.read(place, None, None, NOW), ("time", "name", "route", "model"))
    shown = capsys.readouterr().out
    assert "/[/x]\\x1b[2J\\u202e" in shown
    assert shown.replace("\n", "").isprintable()


def test_certificates_are_listed_with_their_expiry(place: declared.Access) -> None:
    """One that expires within the limit is a problem; a missing one is not."""
    assert certificates.read(place, NOW) == []
    for name, days in (("server", 20), ("ca", 3650)):
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj /CN=x -keyout /dev/null"
            f" -days {days} -out {place.tls / name}.crt"
        )
        subprocess.run(command.split(), check=True, capture_output=True)
    now = datetime.now(UTC)
    assert [(entry["name"], entry["days"]) for entry in certificates.read(place, now)] == [
        ("the server's certificate", 19),
        ("the server's own CA", 3649),
    ]
    (message,) = certificates.problems(place, now)
    assert "the server's certificate expires in 19 days" in message
    (message,) = certificates.problems(place, now + timedelta(days=30))
    assert "has expired" in message
