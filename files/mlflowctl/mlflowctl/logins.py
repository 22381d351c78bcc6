"""What nginx checks logins with: users and tokens, compiled into one directory.

It holds, for every name that may log in, a file with its hash and an empty
file in the directory of each role that the name reaches. The directory is
named by its content and stands behind a link; nginx's memory of correct logins
is keyed with where the link points to. So a change is whole, takes effect with
the next request, and needs no reload.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflowctl import tokens
from mlflowctl.access import ROLES, Access, lesser, users
from mlflowctl.errors import ControlError


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
    digest = hashlib.sha256(json.dumps(logins).encode()).hexdigest()[:16]
    target = access.logins.with_name(f"{access.logins.name}.{digest}")
    if access.logins.is_symlink() and access.logins.readlink() == Path(target.name) and target.is_dir():
        return False
    partial = access.logins.with_name(f"{access.logins.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for directory in (partial, *(partial / name for name in ("passwords", "tokens", *ROLES))):
        directory.mkdir()
        directory.chmod(0o750)
        shutil.chown(directory, group=access.group)
    # Names that may not log in are looked up here: never found, so refused.
    _readable(partial / "nobody", "", access.group)
    for name, kind, role, secret in logins:
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
    return True


def _readable(path: Path, text: str, group: str) -> None:
    """A file that root owns and nginx's workers read."""
    path.write_text(text)
    path.chmod(0o640)
    shutil.chown(path, group=group)
