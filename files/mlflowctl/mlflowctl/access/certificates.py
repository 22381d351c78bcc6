"""When the certificates of the proxy end, and the revocation list."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflowctl.access.declared import Access
from mlflowctl.core.process import run

# File, what it is, and what openssl calls its end.
_FILES = {
    "server.crt": ("the server's certificate", ["x509", "-enddate"]),
    "ca.crt": ("the server's own CA", ["x509", "-enddate"]),
    "clients-ca.crt": ("the CA of client certificates", ["x509", "-enddate"]),
    "clients.crl": ("the revocation list of client certificates", ["crl", "-nextupdate"]),
}


def read(access: Access, now: datetime) -> list[dict[str, Any]]:
    """What there is, with its end (ISO 8601) and the days that are left; negative if it has ended.

    Raises:
        ControlError: a file is none of what it should be.
    """
    return [
        {"name": name, "file": str(access.tls / file), "ends": end.isoformat(), "days": (end - now).days}
        for file, (name, question) in _FILES.items()
        if (access.tls / file).is_file()
        for end in [_end(access.tls / file, question)]
    ]


def problems(access: Access, now: datetime) -> list[str]:
    """What ends too soon, in plain sentences."""
    return [
        f"{entry['name']} ends in {entry['days']} days, at {entry['ends']} ({entry['file']}): renew it"
        if entry["days"] >= 0
        else f"{entry['name']} has ended at {entry['ends']} ({entry['file']}): renew it"
        for entry in read(access, now)
        if entry["days"] < access.certificate_days
    ]


def _end(file: Path, question: list[str]) -> datetime:
    """The end of a certificate's or list's validity, as openssl prints it: ``notAfter=Nov 21 12:00:00 2027 GMT``."""
    said = run(["openssl", *question, "-noout", "-in", str(file)]).stdout.strip()
    return datetime.strptime(said.split("=")[1], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
