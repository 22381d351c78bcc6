"""The users and their roles, as the playbook has written them."""

from __future__ import annotations

import fcntl
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflowctl.core import config as configuration
from mlflowctl.core import jsonfile
from mlflowctl.core.errors import ControlError

# Each role includes the ones before it.
ROLES = ("viewer", "editor", "admin")

# As for users in the playbook: safe in a URL, a log and a file name.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class Access:
    """The configuration of users, tokens and certificates. Paths are absolute.

    Attributes:
        path: directory of the users, the tokens and when they were last used.
        logins: the link that nginx follows.
        group: the proxy's group, which may read the directory behind it except the hashes of passwords.
        password_group: the group that may read those.
        login_log: nginx's log of password and token checks.
        audit_log: nginx's log of requests that change something.
        tls: directory of nginx's certificates.
        public_url: where clients reach the server.
        ca: the certificate that clients verify it with; ``None`` if every client knows its CA.
        timers: the units that expire tokens and check certificates.
        certificate_days: a certificate with fewer days left is a problem.
        units: nginx, and the units that start and stop with it.
    """

    path: Path
    logins: Path
    group: str
    password_group: str
    login_log: Path
    audit_log: Path
    tls: Path
    public_url: str
    ca: Path | None
    timers: list[str]
    certificate_days: int
    units: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """A user of mlflow_users.

    Attributes:
        name: as it stands in a request.
        role: one of :data:`ROLES`.
        hash: of the password, as in an htpasswd file.
        state: ``present`` or ``locked``; a locked user and their tokens cannot log in.
    """

    name: str
    role: str
    hash: str
    state: str

    @property
    def active(self) -> bool:
        """Whether this user may log in."""
        return self.state == "present"


def settings() -> Path:
    """The configuration file, beside mlflowctl's own."""
    return Path(os.environ.get("MLFLOWCTL_CONFIG", str(configuration.DEFAULT))).with_name("access.toml")


def load() -> Access:
    """Read the configuration.

    Raises:
        ControlError: the file is missing or damaged.
    """
    path = settings()
    try:
        data = tomllib.loads(path.read_text())
        return Access(
            path=Path(data["path"]),
            logins=Path(data["logins"]),
            group=data["group"],
            password_group=data["password_group"],
            login_log=Path(data["login_log"]),
            audit_log=Path(data["audit_log"]),
            tls=Path(data["tls"]),
            public_url=data["public_url"],
            ca=Path(data["ca"]) if data["ca"] else None,
            timers=data["timers"],
            certificate_days=data["certificate_days"],
            # Missing in a file that an older playbook wrote.
            units=tuple(data.get("units", ["nginx.service"])),
        )
    except OSError as error:
        raise ControlError(f"cannot read {path}: {error.strerror}. Run as root, on the host of the proxy") from error
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ControlError(f"{path} is damaged ({error}): run the playbook again") from error


@contextmanager
def exclusive(access: Access) -> Iterator[None]:
    """Lock users and tokens. Waits for the lock, which is only held for a moment."""
    descriptor = os.open(access.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def users(access: Access) -> dict[str, User]:
    """The users by name, also those that are locked.

    Raises:
        ControlError: their file is missing or damaged.
    """
    path = access.path / "users.json"
    try:
        return {entry["name"]: User(**entry) for entry in jsonfile.read(path, None)}
    except TypeError as error:
        raise ControlError(f"{path} is missing or damaged: run playbooks/users.yml") from error


def lower_role(one: str, other: str) -> str:
    """The role with fewer rights."""
    return ROLES[min(ROLES.index(one), ROLES.index(other))]
