"""What nginx checks logins against: users and tokens, compiled into one directory.

It holds, for every name that may log in, a file with its hash and an empty
file in the directory of each role that the name reaches. The directory is
named by its content and a link points to it, so a change is atomic and needs
no reload. Each name also has an entry, a link whose target is named by the
name's hash and role; nginx's cache of correct logins is keyed by that target.
So a change takes effect with the next request, and only for that name.

Only the group of the nginx that checks passwords may read their hashes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflowctl.access import tokens
from mlflowctl.access.declared import ROLES, Access, lower_role, users
from mlflowctl.core.errors import ControlError

# Version of the directory's layout: a new one makes the next run publish again.
LAYOUT = 2
# The user name inside a password file. nginx finds the file by the user's name, and compares with this one.
ANYBODY = "x"
# Used for every unknown name; no user's name begins with a dot.
NOBODY = ".nobody"


def apply(access: Access, now: datetime) -> dict[str, Any]:
    """Publish the logins of all active users, and of their tokens that have not expired.

    Args:
        access: the configuration.
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
    logins += [(token.name, "tokens", lower_role(token.role, known[token.owner].role), token.hash) for token in valid]
    changed = _publish(access, sorted(logins))
    return {"changed": changed, "users": len(logins) - len(valid), "tokens": len(valid)}


def _publish(access: Access, logins: list[tuple[str, str, str, str]]) -> bool:
    """Write name, kind, role and hash of every login to where nginx reads them."""
    digest = hashlib.sha256(json.dumps([LAYOUT, access.group, access.password_group, logins]).encode()).hexdigest()[:16]
    target = access.logins.with_name(f"{access.logins.name}.{digest}")
    if access.logins.is_symlink() and access.logins.readlink() == Path(target.name) and target.is_dir():
        return False
    partial = access.logins.with_name(f"{access.logins.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    # Two system users pass through here, each to what its group may read.
    partial.chmod(0o711)
    for directory in ("people", "tokens", "entries", *ROLES):
        _directory(partial / directory, access.group)
    _directory(partial / "passwords", access.password_group)
    # Names without a password file are compared with this one, which never matches and takes as long as the others.
    _readable(partial / "passwords" / NOBODY, f"{ANYBODY}:{_unmatchable_hash(logins)}\n", access.password_group)
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


def _unmatchable_hash(logins: list[tuple[str, str, str, str]]) -> str:
    """A hash of the same form as the users' that matches no password."""
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
