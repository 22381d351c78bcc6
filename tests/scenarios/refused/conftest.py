"""Certificates and lists that are refused."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid certificate for the host's address, and an invalid one of each kind."""
    folder = tmp_path_factory.mktemp("certificates")

    def make(name: str, names: list[x509.GeneralName], first: float, last: float) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=first))
            .not_valid_after(now + timedelta(days=last))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, hashes.SHA256())
        )
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    host: list[x509.GeneralName] = [x509.IPAddress(ip_address(os.environ["ADDRESS"]))]
    make("good", host, -1, 30)
    make("other", [x509.DNSName("other.example")], -1, 30)
    make("expired", host, -30, -1)
    make("soon", host, -30, 0.9)
    now = datetime.now(UTC)
    ended = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "good")]))
        .last_update(now - timedelta(days=30))
        .next_update(now - timedelta(days=1))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    (folder / "ended.crl").write_bytes(ended.public_bytes(Encoding.PEM))
    (folder / "no.pem").write_text("this is no certificate\n")
    return folder
