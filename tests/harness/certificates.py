"""Certificates as a user provides them: ``certificates.py FOLDER ADDRESS``.

A self-signed one for the server; a CA with client certificates, one of which
is revoked, and the revocation list.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)
CA = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA of the team")])
# File, common name, organization. A comma in a value must not end the common name.
CLIENTS = [
    ("bob", "bob", "team"),
    ("spoof", "bob", "x,CN=eve"),
    ("revoked", "eve", "team"),
    ("nobody", "nobody", "team"),
    ("token", "certified", "team"),
]


def named(name: str, organization: str) -> x509.Name:
    """A subject."""
    pairs = [(NameOID.COMMON_NAME, name), (NameOID.ORGANIZATION_NAME, organization)]
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """A certificate for 60 days, to be signed."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=60))
    )


def private(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as a PEM file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def main(folder: Path, address: str) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    own = named("user's own", "team")
    server = builder(own, own, key).add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "server.crt").write_bytes(server.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(private(key))

    ca_key = ec.generate_private_key(ec.SECP256R1())
    is_ca = x509.BasicConstraints(ca=True, path_length=0)
    ca = builder(CA, CA, ca_key).add_extension(is_ca, critical=True).sign(ca_key, hashes.SHA256())
    (folder / "clients-ca.crt").write_bytes(ca.public_bytes(Encoding.PEM))
    revoked = x509.CertificateRevocationListBuilder().issuer_name(CA).last_update(NOW - timedelta(hours=1))
    for file, name, organization in CLIENTS:
        key = ec.generate_private_key(ec.SECP256R1())
        client = builder(named(name, organization), CA, key).sign(ca_key, hashes.SHA256())
        (folder / f"{file}.pem").write_bytes(private(key) + client.public_bytes(Encoding.PEM))
        if file == "revoked":
            entry = x509.RevokedCertificateBuilder().serial_number(client.serial_number).revocation_date(NOW).build()
            revoked = revoked.add_revoked_certificate(entry)
    crl = revoked.next_update(NOW + timedelta(days=40)).sign(ca_key, hashes.SHA256())
    (folder / "clients.crl").write_bytes(crl.public_bytes(Encoding.PEM))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
