"""Users: what is refused, and a file of them that is stable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from passlib.hash import sha512_crypt

from plugins.filter.users import user_problems, user_records

GOOD = "correct-horse-battery"
HASH = sha512_crypt.using(rounds=5000).hash(GOOD)


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ([], "empty"),
        ("ada", "no list"),
        ({"name": "ada", "password": GOOD}, "no list"),
        ([{"name": "ada", "password": GOOD}], "nobody is an admin"),
        (
            [{"name": "ada", "password": GOOD, "role": "admin", "state": "locked"}, {"name": "bob", "password": GOOD}],
            "nobody is an admin",
        ),
        (["ada"], "every entry"),
        ([{"name": "a:b", "password": GOOD}], "no colon"),
        ([{"name": "a\nb", "password": GOOD}], "line break"),
        ([{"name": "ada\n", "password": GOOD}], "cannot be used"),
        ([{"name": "", "password": GOOD}], "cannot be used"),
        ([{"password": GOOD}], "cannot be used"),
        ([{"name": "ada"}], "exactly one"),
        ([{"name": "ada", "password": GOOD, "password_hash": HASH}], "exactly one"),
        ([{"name": "ada", "password": ""}], "empty"),
        ([{"name": "ada", "password": "short-secret"[:7]}], "weak"),
        ([{"name": "ada", "password": "aaaaaaaaaaaaaaaa"}], "weak"),
        ([{"name": "ada", "password": GOOD + "\n"}], "control character"),
        ([{"name": "ada", "password_hash": "{PLAIN}" + GOOD}], "openssl passwd -6"),
        ([{"name": "ada", "password_hash": "$apr1$x$y"}], "openssl passwd -6"),
        ([{"name": "ada", "password": GOOD, "group": "x"}], "unknown key group"),
        (
            [{"name": "ada", "password": GOOD, "role": "root"}],
            "the role of 'ada' is 'root': use one of viewer, editor, admin",
        ),
        ([{"name": "ada", "password": GOOD, "state": "gone"}], "use one of present, locked, absent"),
        (
            [{"name": "ada", "password": GOOD, "state": "locked"}, {"name": "bob", "state": "absent"}],
            "nobody could log in",
        ),
        ([{"name": "ada", "password": GOOD}] * 2, "2 times"),
    ],
)
def test_problems_do_not_show_the_password(users: Any, message: str) -> None:
    """Each fault gets a sentence, and no sentence holds a password or hash."""
    text = "; ".join(user_problems(users, 12))
    assert message in text
    for secret in (GOOD, HASH, "aaaaaaaaaaaaaaaa", "short-s"):
        assert secret not in text


def test_good_users_have_no_problems() -> None:
    """A password or a hash is enough."""
    users = [{"name": "ada@example.com", "password": GOOD, "role": "admin"}, {"name": "bob", "password_hash": HASH}]
    assert user_problems(users, 12) == []


def test_the_file_is_stable_and_changes_only_where_it_must() -> None:
    """A second run changes nothing; a new password changes one entry; a removed user is removed."""
    users = [{"name": "ada", "password": GOOD, "role": "admin"}, {"name": "bob", "password": GOOD}]
    first = user_records(users, "")
    assert user_records(users, first) == first
    ada, bob = json.loads(first)
    assert (ada["role"], bob["role"], bob["state"]) == ("admin", "editor", "present")
    assert ada["hash"] != bob["hash"]
    assert sha512_crypt.verify(GOOD, ada["hash"])
    changed = json.loads(user_records([users[0], {"name": "bob", "password": GOOD + "2"}], first))
    assert changed[0] == ada
    assert changed[1]["hash"] != bob["hash"]
    assert json.loads(user_records([users[0], users[1] | {"state": "absent"}], first)) == [ada]


def test_a_locked_user_keeps_the_hash() -> None:
    """So that unlocking needs no new password."""
    users = [{"name": "bob", "password": GOOD}]
    first = user_records(users, "")
    (locked,) = json.loads(user_records([users[0] | {"state": "locked"}], first))
    assert locked == json.loads(first)[0] | {"state": "locked"}


@pytest.mark.parametrize("present", ["", "{", "[1]", '[{"name": "bob"}]', "null"])
def test_a_damaged_file_is_rewritten(present: str) -> None:
    """So that running the playbook repairs it."""
    (bob,) = json.loads(user_records([{"name": "bob", "password": GOOD}], present))
    assert sha512_crypt.verify(GOOD, bob["hash"])


def test_given_hashes_pass_through() -> None:
    """A ready hash is written as it is."""
    (bob,) = json.loads(user_records([{"name": "bob", "password_hash": HASH}], ""))
    assert bob["hash"] == HASH
