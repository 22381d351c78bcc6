"""Create, rotate, revoke and list tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlflowctl.access import tokens, uses
from mlflowctl.access.declared import NAME, ROLES, Access, exclusive, lower_role, users
from mlflowctl.access.logins import apply
from mlflowctl.core.ages import parse_age
from mlflowctl.core.errors import Refused


@dataclass(frozen=True)
class TokenRequest:
    """The properties of a token to create.

    Attributes:
        name: not used by another token or a user.
        owner: an active user.
        role: one of :data:`ROLES`; ``None``: the owner's.
        expires: an age such as ``90d``, or ``never``.
    """

    name: str
    owner: str
    role: str | None
    expires: str


def create(access: Access, request: TokenRequest, now: datetime) -> dict[str, Any]:
    """Create a token.

    Args:
        access: the configuration.
        request: the properties of the token.
        now: with a time zone.

    Returns:
        The token's facts, and ``token``: the value of ``MLFLOW_TRACKING_TOKEN``.

    Raises:
        ControlError: a property is not allowed; nothing has changed.
    """
    name, owner = request.name, request.owner
    if not NAME.fullmatch(name):
        raise Refused(
            f"the name {name!r} cannot be used: "
            "use 1 to 64 letters, digits and . _ @ -, beginning with a letter or digit"
        )
    if request.role not in (None, *ROLES):
        raise Refused(f"there is no role {request.role!r}: use one of {', '.join(ROLES)}")
    lifetime = None if request.expires == "never" else parse_age(request.expires, "--expires")
    if lifetime == 0:
        raise Refused(f"--expires is {request.expires!r}: it would expire at once; use 90d, or never")
    with exclusive(access):
        known, kept = users(access), tokens.read(access)
        if name in known:
            raise Refused(f"{name!r} is a user's name: give the token another one, such as {name}-ci")
        if name in kept:
            raise Refused(f"there is a token {name!r}: revoke or rotate it, or use another name")
        active = sorted(user.name for user in known.values() if user.active)
        if owner not in active:
            raise Refused(f"there is no active user {owner!r}: use one of {', '.join(active)}")
        role = request.role or known[owner].role
        if lower_role(role, known[owner].role) != role:
            raise Refused(f"{owner!r} is {known[owner].role}: their tokens cannot be {role}")
        secret, digest = tokens.new_secret()
        token = tokens.Token(name, owner, role, digest, _time(now), lifetime, _expiry(now, lifetime))
        return _save(access, {**kept, name: token}, token, secret, now)


def rotate(access: Access, name: str, now: datetime) -> dict[str, Any]:
    """Give a token a new secret and its full lifetime again. The old secret stops working at once.

    Returns:
        As :func:`create`.

    Raises:
        ControlError: there is no such token.
    """
    with exclusive(access):
        kept = tokens.read(access)
        old = _found(kept, name)
        secret, digest = tokens.new_secret()
        token = replace(old, hash=digest, created=_time(now), expires=_expiry(now, old.lifetime))
        return _save(access, {**kept, name: token}, token, secret, now)


def revoke(access: Access, name: str, now: datetime) -> dict[str, Any]:
    """Revoke a token. The next request with it is refused.

    Raises:
        ControlError: there is no such token.
    """
    with exclusive(access):
        kept = tokens.read(access)
        token = _found(kept, name)
        del kept[name]
        tokens.write(access, kept)
        apply(access, now)
    return {"name": token.name, "owner": token.owner, "revoked": True}


def listing(access: Access, now: datetime) -> list[dict[str, Any]]:
    """All tokens without their hashes: role, state, and when each was last used."""
    with exclusive(access):
        known, kept, used = users(access), tokens.read(access), uses.last(access)
    return [
        {
            "name": token.name,
            "owner": token.owner,
            "role": lower_role(token.role, known[token.owner].role) if token.owner in known else token.role,
            "state": "expired" if token.expired(now) else "valid" if token.works(known, now) else "owner cannot log in",
            "created": token.created,
            "expires": token.expires or "never",
            "last_used": used.get(token.name, "never"),
        }
        for token in kept.values()
    ]


def _save(
    access: Access, kept: dict[str, tokens.Token], token: tokens.Token, secret: str, now: datetime
) -> dict[str, Any]:
    tokens.write(access, kept)
    apply(access, now)
    return {
        "name": token.name,
        "owner": token.owner,
        "role": token.role,
        "expires": token.expires or "never",
        "token": tokens.value(token, secret),
    }


def _found(kept: dict[str, tokens.Token], name: str) -> tokens.Token:
    if name not in kept:
        raise Refused(f"there is no token {name!r}: mlflowctl token list shows those that exist")
    return kept[name]


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds")


def _expiry(now: datetime, lifetime: int | None) -> str | None:
    return None if lifetime is None else _time(now + timedelta(seconds=lifetime))
