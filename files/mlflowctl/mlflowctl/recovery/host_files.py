"""Restore keys, certificates and tokens from a recovery point."""

from __future__ import annotations

import os
import stat
from dataclasses import asdict
from pathlib import Path

from mlflowctl.access import declared, tokens
from mlflowctl.core import descent, jsonfile
from mlflowctl.core.errors import ControlError
from mlflowctl.core.process import run
from mlflowctl.core.progress import Log
from mlflowctl.recovery import bundle
from mlflowctl.recovery.copies import Copy

# Secrets that are restored from the bundle: without them encrypted rows cannot
# be read. Everything else comes from the playbook.
SECRETS = ("kek_passphrase", "webhook_key", "flask_key")
# Files of nginx's certificates with the modes that the playbook sets.
TLS_FILES = {
    "server.crt": 0o644,
    "server.key": 0o600,
    "ca.crt": 0o644,
    "ca.key": 0o600,
    "clients-ca.crt": 0o644,
    "clients.crl": 0o644,
}
# Bytes.
LARGEST_BUNDLED = 16 << 20


def secret(copy: Copy, name: str) -> bytes:
    """A secret of the restored bundle; :func:`mlflowctl.recovery.inspection.check_database` reports missing ones.

    Raises:
        ControlError: it is not a regular file.
    """
    content = bundled(copy, copy.config.instance.config_path / "secrets" / name)
    if content is None:
        raise ControlError(f"secret {name} of point {copy.place.point.name} is not a regular file: use another point")
    return content


def put_tls(copy: Copy) -> None:
    """Restore nginx's certificates, owned by root, and reload nginx.

    Clients then trust a new host like the old one. Only the content of the files comes
    from the point: their names, paths and modes are this host's.
    """
    tls = declared.load().tls
    for name, mode in TLS_FILES.items():
        content = bundled(copy, tls / name)
        if content is None:
            continue
        partial = tls / f"{name}.partial"
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(content)
            os.fchown(file.fileno(), 0, 0)
            os.fchmod(file.fileno(), mode)
        partial.rename(tls / name)
    run(["systemctl", "reload", "nginx.service"])


def bundled(copy: Copy, path: Path) -> bytes | None:
    """The point's content of a file of this host; ``None`` if it is not a small regular file, or behind a link.

    Args:
        copy: the copy of the point.
        path: where the file is on this host.
    """
    try:
        with descent.opened(copy.stage / bundle.NAME, str(path.parent).lstrip("/")) as directory:
            descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except (OSError, ControlError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        return file.read() if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_BUNDLED else None


def put_tokens(copy: Copy, log: Log) -> None:
    """Restore the tokens on a host that has none, and activate them.

    A host with tokens keeps them, because a token that was revoked since the point must not come back.
    A token with the name of a user of this host is left out, because logins are looked up by name.
    """
    config = copy.config
    target = config.instance.config_path / "access" / "tokens.json"
    if target.exists() or (content := bundled(copy, target)) is None:
        return
    users, kept = declared.users(declared.load()), []
    for token in tokens.checked(content):
        if token.name in users:
            log(f"token {token.name} is not restored: a user has that name. Create a new one for {token.owner}")
        else:
            kept.append(asdict(token))
    jsonfile.write(target, kept)
    run(["systemctl", "start", f"{config.instance.unit}-access.service"])
