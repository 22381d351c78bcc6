"""Named tokens: logins for programs, each with an owner, a role and an expiry.

A token is the base64 of ``name:secret``, because MLflow's clients send
``MLFLOW_TRACKING_TOKEN`` as ``Authorization: Bearer …`` and nginx reads it as
``Basic …`` (RFC 7617, section 2). It is shown once; only a hash is kept.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from mlflowctl.access.declared import NAME, ROLES, Access, User
from mlflowctl.core import jsonfile
from mlflowctl.core.errors import ControlError

# As nginx's auth_basic reads it: salted SHA-1, in base64.
HASH = re.compile(r"\{SSHA\}[A-Za-z0-9+/=]{32,64}")


@dataclass(frozen=True)
class Token:
    """A token as it is kept.

    Attributes:
        name: its login name, also in logs.
        owner: the user who is responsible for it; it stops working with that user.
        role: its own role; the owner's applies if that is lower.
        hash: salted SHA-1 as in an htpasswd file (``{SSHA}``). A fast hash is
            enough, because the secret is 256 random bits.
        created: when, ISO 8601 in UTC.
        lifetime: seconds from creation to expiry; ``None``: unlimited.
        expires: when it expires, ISO 8601 in UTC; ``None``: never.
    """

    name: str
    owner: str
    role: str
    hash: str
    created: str
    lifetime: int | None
    expires: str | None

    def expired(self, now: datetime) -> bool:
        """Whether it has expired."""
        return self.expires is not None and datetime.fromisoformat(self.expires) <= now

    def works(self, users: dict[str, User], now: datetime) -> bool:
        """Whether it may log in: it has not expired, and its owner is active."""
        return self.owner in users and users[self.owner].active and not self.expired(now)


def read(access: Access) -> dict[str, Token]:
    """All tokens by name, also expired ones."""
    return {entry["name"]: Token(**entry) for entry in jsonfile.read(access.path / "tokens.json", [])}


def checked(content: bytes) -> list[Token]:
    """The tokens of a file from an untrusted source, such as a recovery point.

    Raises:
        ControlError: it is not a valid file of tokens. Names are checked because they become file names.
    """
    try:
        found = [Token(**entry) for entry in json.loads(content)]
        if len({token.name for token in found}) != len(found):
            raise ValueError("two have the same name")
        for token in found:
            if not (NAME.fullmatch(token.name) and NAME.fullmatch(token.owner) and token.role in ROLES):
                raise ValueError(f"{token.name!r} of {token.owner!r} with the role {token.role!r} is not a valid token")
            if not HASH.fullmatch(token.hash):
                raise ValueError(f"the hash of {token.name} is not valid")
            for when in (token.created, token.expires):
                if when is not None and datetime.fromisoformat(when).tzinfo is None:
                    raise ValueError(f"a time of {token.name} has no time zone")
            if token.created is None or not (token.lifetime is None or type(token.lifetime) is int):
                raise ValueError(f"{token.name} has no creation time, or its lifetime is not a number of seconds")
            token.expired(datetime.now(UTC))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ControlError(f"the tokens of the recovery point cannot be used: {error}") from error
    return found


def write(access: Access, kept: dict[str, Token]) -> None:
    """Replace the stored tokens."""
    jsonfile.write(access.path / "tokens.json", [asdict(token) for token in kept.values()])


def new_secret() -> tuple[str, str]:
    """A secret and its hash."""
    secret, salt = secrets.token_urlsafe(32), os.urandom(16)
    digest = hashlib.sha1(secret.encode() + salt, usedforsecurity=False).digest()
    return secret, "{SSHA}" + base64.b64encode(digest + salt).decode()


def value(token: Token, secret: str) -> str:
    """What the owner sets as ``MLFLOW_TRACKING_TOKEN``."""
    return base64.b64encode(f"{token.name}:{secret}".encode()).decode()
