"""What nginx checks logins with: users and tokens, compiled into one directory.

It holds, for every name that may log in, a file with its hash and an empty
file in the directory of each role that the name reaches. The directory is
named by its content and stands behind a link, so a change is whole and needs
no reload. Each name also has an entry, a link whose target is named by the
name's hash and role; nginx's memory of correct logins is keyed with where that
leads to. So a change takes effect with the next request, and only for that name.

Hashes of passwords are for the group of the nginx that compares them alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflowctl.access import tokens
from mlflowctl.access.declared import ROLES, Access, lesser, users
from mlflowctl.core.errors import ControlError

# Changes with what lies where: the next run then publishes again.
LAYOUT = 2
# The name in a password's file. nginx finds the file by the user's name, and asks with this one.
ANYBODY = "x"
# Stands for every unknown name; none of a user begins with a dot.
NOBODY = ".nobody"


def apply(access: Access, now: datetime) -> dict[str, Any]:
    """Let exactly those log in who may: users, and tokens of theirs that are not expired.

    Args:
        access: where things are.
        now: with a time zone.

    Returns:
        ``changed``, and how many ``users`` and ``tokens`` may log in.

    Raises:
        ControlError: a token has the name of a user.
    """
    known = users(access)
    logins = [(user.name, "passwords", user.role, user.hash) for user in known.values() if user.active]
    valid = [token for token in tokens.read(access).values() if token.works(known, now)]
    both = sorted({token.name for token in valid} & known.keys())
    if both:
        raise ControlError(
            f"{both[0]!r} is the name of a user and of a token: "
            f"rename the user, or revoke the token (mlflowctl token revoke {both[0]})"
        )
    logins += [(token.name, "tokens", lesser(token.role, known[token.owner].role), token.hash) for token in valid]
    changed = _publish(access, sorted(logins))
    return {"changed": changed, "users": len(logins) - len(valid), "tokens": len(valid)}


def _publish(access: Access, logins: list[tuple[str, str, str, str]]) -> bool:
    """Put name, kind, role and hash of every login where nginx looks."""
    digest = hashlib.sha256(json.dumps([LAYOUT, access.group, access.password_group, logins]).encode()).hexdigest()[:16]
    target = access.logins.with_name(f"{access.logins.name}.{digest}")
    if access.logins.is_symlink() and access.logins.readlink() == Path(target.name) and target.is_dir():
        return False
    partial = access.logins.with_name(f"{access.logins.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    # Two users pass here, each to what its group may read.
    partial.chmod(0o711)
    for directory in ("people", "tokens", "entries", *ROLES):
        _directory(partial / directory, access.group)
    _directory(partial / "passwords", access.password_group)
    # Whoever has no password file is compared with this one: never right, and as slow as the others.
    _readable(partial / "passwords" / NOBODY, f"{ANYBODY}:{_never_right(logins)}\n", access.password_group)
    states = access.logins.with_name("entries")
    _directory(states, access.group)
    wanted = set()
    for name, kind, role, secret in [(NOBODY, "", ROLES[0], ""), *logins]:
        state = hashlib.sha256(json.dumps([LAYOUT, name, kind, role, secret]).encode()).hexdigest()[:32]
        wanted.add(state)
        _directory(states / state, access.group)
        (partial / "entries" / name).symlink_to(states / state)
        if not kind:
            continue
        if kind == "passwords":
            _readable(partial / "people" / name, "", access.group)
            _readable(partial / kind / name, f"{ANYBODY}:{secret}\n", access.password_group)
        else:
            _readable(partial / kind / name, f"{name}:{secret}\n", access.group)
        for reached in ROLES[: ROLES.index(role) + 1]:
            _readable(partial / reached / name, "", access.group)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    link = access.logins.with_name(f"{access.logins.name}.link")
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(access.logins)
    for old in access.logins.parent.glob(f"{access.logins.name}.*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)
    for old in states.iterdir():
        if old.name not in wanted:
            old.rmdir()
    return True


def _never_right(logins: list[tuple[str, str, str, str]]) -> str:
    """What looks like the users' hashes and is of no password."""
    hashes = [secret for _, kind, _, secret in logins if kind == "passwords" and "$" in secret]
    scheme, _, rest = (hashes[0] if hashes else f"$6${'x' * 16}${'.' * 86}").rpartition("$")
    return f"{scheme}${'.' * len(rest)}"


def _directory(path: Path, group: str) -> None:
    """A directory that root owns and one group reads."""
    path.mkdir(exist_ok=True)
    path.chmod(0o750)
    shutil.chown(path, group=group)


def _readable(path: Path, text: str, group: str) -> None:
    """A file that root owns and one group reads."""
    path.write_text(text)
    path.chmod(0o640)
    shutil.chown(path, group=group)
