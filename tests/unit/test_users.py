"""Users: what is refused, and an htpasswd file that is stable."""

from __future__ import annotations

from typing import Any

import pytest
from passlib.hash import sha512_crypt

from plugins.filter.users import htpasswd, user_problems

GOOD = "correct-horse-battery"
HASH = sha512_crypt.using(rounds=5000).hash(GOOD)


@pytest.mark.parametrize(
    ("users", "said"),
    [
        ([], "empty"),
        ("ada", "empty"),
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
        ([{"name": "ada", "password": GOOD, "role": "x"}], "unknown key role"),
        ([{"name": "ada", "password": GOOD}] * 2, "2 times"),
    ],
)
def test_problems_are_said_without_the_password(users: Any, said: str) -> None:
    """Each fault gets a sentence, and no sentence holds a password or hash."""
    text = "; ".join(user_problems(users, 12))
    assert said in text
    for secret in (GOOD, HASH, "aaaaaaaaaaaaaaaa", "short-s"):
        assert secret not in text


def test_good_users_have_no_problems() -> None:
    """A password or a hash is enough."""
    users = [{"name": "ada@example.com", "password": GOOD}, {"name": "bob", "password_hash": HASH}]
    assert user_problems(users, 12) == []


def test_the_file_is_stable_and_changes_only_where_it_must() -> None:
    """A second run changes nothing; a new password changes one line; a removed user vanishes."""
    users = [{"name": "ada", "password": GOOD}, {"name": "bob", "password": GOOD}]
    first = htpasswd(users, "")
    assert htpasswd(users, first) == first
    ada, bob = first.splitlines()
    assert ada.split(":")[1] != bob.split(":")[1]
    assert sha512_crypt.verify(GOOD, ada.split(":", 1)[1])
    changed = htpasswd([users[0], {"name": "bob", "password": GOOD + "2"}], first)
    assert changed.splitlines()[0] == ada
    assert changed.splitlines()[1] != bob
    assert htpasswd(users[:1], first) == ada + "\n"


def test_given_hashes_pass_through() -> None:
    """A ready hash is written as it is."""
    assert htpasswd([{"name": "bob", "password_hash": HASH}], "bob:old\n") == f"bob:{HASH}\n"
