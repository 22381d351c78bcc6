"""When the certificates of the proxy and the revocation list expire."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflowctl.access.declared import Access
from mlflowctl.core.process import run

# File, description, and openssl's command for the end of its validity.
_FILES = {
    "server.crt": ("the server's certificate", ["x509", "-enddate"]),
    "ca.crt": ("the server's own CA", ["x509", "-enddate"]),
    "clients-ca.crt": ("the CA of client certificates", ["x509", "-enddate"]),
    "clients.crl": ("the revocation list of client certificates", ["crl", "-nextupdate"]),
}


def read(access: Access, now: datetime) -> list[dict[str, Any]]:
    """The files with their expiry (ISO 8601) and the days that are left; negative if it has expired.

    Raises:
        ControlError: openssl cannot read a file.
    """
    return [
        {"name": name, "file": str(access.tls / file), "expires": end.isoformat(), "days": (end - now).days}
        for file, (name, command) in _FILES.items()
        if (access.tls / file).is_file()
        for end in [_expiry(access.tls / file, command)]
    ]


def problems(access: Access, now: datetime) -> list[str]:
    """What expires too soon, as sentences."""
    return [
        f"{entry['name']} expires in {entry['days']} days, at {entry['expires']} ({entry['file']}): renew it"
        if entry["days"] >= 0
        else f"{entry['name']} has expired at {entry['expires']} ({entry['file']}): renew it"
        for entry in read(access, now)
        if entry["days"] < access.certificate_days
    ]


def _expiry(file: Path, command: list[str]) -> datetime:
    """The end of a certificate's or list's validity, as openssl prints it: ``notAfter=Nov 21 12:00:00 2027 GMT``."""
    output = run(["openssl", *command, "-noout", "-in", str(file)]).stdout.strip()
    return datetime.strptime(output.split("=")[1], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
