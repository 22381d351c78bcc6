"""Users as a list of dictionaries: what is wrong with them, and the file that mlflowctl reads."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

# RFC 7617 forbids a colon in the name; the rest keeps logs and URLs readable.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

# Hashes that nginx verifies through crypt(3) on Debian. No apr1 (MD5) and no
# plain text, which nginx would take as well.
HASH = re.compile(r"\$(6|5|y|2[aby])\$[./A-Za-z0-9$=,]{20,}")

ROLES = ("viewer", "editor", "admin")
STATES = ("present", "locked", "absent")

# Cost of a hash: about 10 ms. Only the first request of a login pays it,
# because nginx remembers the answer.
ROUNDS = 20_000


def user_problems(users: Any, minimum_length: int) -> list[str]:
    """All problems of a list of users, as sentences.

    Args:
        users: entries with ``name``, one of ``password`` and ``password_hash``,
            and perhaps ``role`` and ``state``.
        minimum_length: shortest password allowed, in characters.

    Returns:
        One sentence for each fault. They name users, never a password or hash.
    """
    if users and not isinstance(users, list):
        return ["it is no list: begin each entry with '- name: '"]
    if not users:
        return ["it is empty, so nobody could log in: give at least one name and password"]
    if not all(isinstance(user, dict) for user in users):
        return ["every entry must have name, and password or password_hash"]
    problems: list[str] = []
    for user in users:
        problems += _problems_of_one(user, minimum_length)
    if all(user.get("state", "present") != "present" for user in users):
        problems.append("none of them is present, so nobody could log in: give at least one")
    elif all(user.get("role") != "admin" or user.get("state", "present") != "present" for user in users):
        problems.append(
            "nobody is an admin, so nobody could delete or restore: give at least one present user role: admin"
        )
    counts = Counter(str(user.get("name", "")) for user in users)
    problems += [f"{name!r} is listed {count} times: keep one entry" for name, count in counts.items() if count > 1]
    return problems


def _problems_of_one(user: dict[str, Any], minimum_length: int) -> list[str]:
    name = str(user.get("name", ""))
    if not NAME.fullmatch(name):
        return [
            f"the name {name!r} cannot be used: take 1 to 64 letters, digits and . _ @ -, "
            "beginning with a letter or digit (no colon, space or line break)"
        ]
    unknown = sorted(set(user) - {"name", "password", "password_hash", "role", "state"})
    if unknown:
        return [f"{name!r} has the unknown key {', '.join(unknown)}"]
    for key, values in (("role", ROLES), ("state", STATES)):
        if user.get(key, values[0]) not in values:
            return [f"the {key} of {name!r} is {user[key]!r}: use one of {', '.join(values)}"]
    if user.get("state") == "absent":
        return []
    if ("password" in user) == ("password_hash" in user):
        return [f"{name!r} needs exactly one of password and password_hash"]
    if "password_hash" in user:
        if HASH.fullmatch(str(user["password_hash"])):
            return []
        return [
            f"the password_hash of {name!r} is not one that nginx verifies safely: create one with `openssl passwd -6`"
        ]
    password = str(user["password"])
    if not password:
        return [f"the password of {name!r} is empty"]
    if any(ord(character) < 32 for character in password):
        return [f"the password of {name!r} holds a line break or another control character"]
    if len(password) < minimum_length:
        return [f"the password of {name!r} is weak: it has {len(password)} characters, use {minimum_length} or more"]
    if password.lower() == name.lower() or len(set(password)) < 5:
        return [f"the password of {name!r} is weak: it is too easy to guess"]
    return []


def user_records(users: list[dict[str, Any]], present: str) -> str:
    """The file of users that mlflowctl reads, stable from run to run.

    A hash that stands in ``present`` and still fits the password is kept, so
    an unchanged user gets no new salt and the file does not change.

    Args:
        users: as for :func:`user_problems`, already found to be fine.
        present: the file as it is now; empty if there is none, anything if it is damaged.

    Returns:
        JSON: name, role, hash and state of each user that is not absent, in the order given.
    """
    try:
        hashes = {user["name"]: user["hash"] for user in json.loads(present or "[]")}
    except (ValueError, TypeError, KeyError):
        hashes = {}  # damaged, and about to be written anew
    records = [
        {
            "name": str(user["name"]),
            "role": user.get("role", "editor"),
            "hash": user.get("password_hash") or _kept_or_new(str(user["password"]), hashes.get(str(user["name"]), "")),
            "state": user.get("state", "present"),
        }
        for user in users
        if user.get("state") != "absent"
    ]
    return json.dumps(records, indent=1) + "\n"


def _kept_or_new(password: str, present: str) -> str:
    # Not above: Ansible loads every filter anew for each task, and few of them need passlib.
    from passlib.hash import sha512_crypt

    if (
        sha512_crypt.identify(present)
        and sha512_crypt.from_string(present).rounds == ROUNDS
        and sha512_crypt.verify(password, present)
    ):
        return present
    return str(sha512_crypt.using(rounds=ROUNDS).hash(password))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file by name."""
        return {"user_problems": user_problems, "user_records": user_records}
