"""Named tokens: logins for programs, each with an owner, a role, an end, and one purpose.

A token is the base64 of ``name:secret``, because MLflow's clients send
``MLFLOW_TRACKING_TOKEN`` as ``Authorization: Bearer …`` and nginx reads it as
``Basic …`` (RFC 7617, section 2). It is shown once; only a hash is kept.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime

from mlflowctl import jsonfile
from mlflowctl.access import Access, User


@dataclass(frozen=True)
class Token:
    """A token as it is kept.

    Attributes:
        name: it logs in with, and stands under in logs.
        owner: the user who answers for it; without that user it does not work.
        role: it never reaches more than its owner's.
        hash: salted SHA-1 as in an htpasswd file (``{SSHA}``). Fast, and that is
            enough: the secret is 256 random bits, nobody guesses it.
        created: when, ISO 8601 in UTC.
        lifetime: seconds from creation to its end; ``None``: none.
        expires: when it ends, ISO 8601 in UTC; ``None``: never.
    """

    name: str
    owner: str
    role: str
    hash: str
    created: str
    lifetime: int | None
    expires: str | None

    def expired(self, now: datetime) -> bool:
        """Whether it has ended."""
        return self.expires is not None and datetime.fromisoformat(self.expires) <= now

    def works(self, users: dict[str, User], now: datetime) -> bool:
        """Whether it may log in: it has not ended, and its owner may."""
        return self.owner in users and users[self.owner].active and not self.expired(now)


def read(access: Access) -> dict[str, Token]:
    """All tokens by name, also those that have ended."""
    return {entry["name"]: Token(**entry) for entry in jsonfile.read(access.path / "tokens.json", [])}


def write(access: Access, kept: dict[str, Token]) -> None:
    """Keep these tokens and no others."""
    jsonfile.write(access.path / "tokens.json", [asdict(token) for token in kept.values()])


def new_secret() -> tuple[str, str]:
    """A secret and its hash."""
    secret, salt = secrets.token_urlsafe(32), os.urandom(16)
    digest = hashlib.sha1(secret.encode() + salt, usedforsecurity=False).digest()
    return secret, "{SSHA}" + base64.b64encode(digest + salt).decode()


def value(token: Token, secret: str) -> str:
    """What the owner sets as ``MLFLOW_TRACKING_TOKEN``."""
    return base64.b64encode(f"{token.name}:{secret}".encode()).decode()
