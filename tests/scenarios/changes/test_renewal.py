"""A certificate from an ACME server (Debian's pebble): issued, renewed, and kept while the ACME server is unavailable."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509

from tests.harness.control import control
from tests.harness.playbook import run_playbook

NAME = "mlflow.test"
VARIABLES = {
    "mlflow_public_url": f"https://{NAME}",
    "mlflow_proxy_acme_directory_url": "https://acme.test:14000/dir",
    "mlflow_proxy_acme_ca_bundle": "/srv/acme/cert.pem",
}
SERVER = """
set -e
DEBIAN_FRONTEND=noninteractive apt-get -qq install pebble >/dev/null
grep -q acme.test /etc/hosts || echo '127.0.0.1 acme.test mlflow.test' >> /etc/hosts
mkdir -p /srv/acme && cd /srv/acme
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 -subj /CN=acme.test \\
    -addext subjectAltName=DNS:acme.test -keyout key.pem -out cert.pem 2>/dev/null
echo '{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
    "certificate": "cert.pem", "privateKey": "key.pem", "httpPort": 80, "tlsPort": 443}}' > config.json
systemd-run --quiet --collect --unit=test-acme --working-directory=/srv/acme \\
    --setenv=PEBBLE_VA_NOSLEEP=1 pebble -config config.json
"""


@pytest.fixture(scope="module")
def acme(host: Any) -> Iterator[None]:
    """The ACME server runs while the tests do; afterwards the host is restored."""
    host.check_output(SERVER)
    yield
    host.run("systemctl stop test-acme.service")
    host.check_output(
        "rm -rf /etc/letsencrypt /etc/systemd/system/certbot.service.d; systemctl disable --now certbot.timer"
    )
    assert run_playbook(arguments=("--tags", "mlflow,proxy")).returncode == 0


def served(host: Any) -> x509.Certificate:
    """The certificate that nginx presents for the name."""
    address = host.ansible.get_variables()["mlflow_public_url"].removeprefix("https://")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((address, 443), timeout=10).encode())


def renew(host: Any) -> str:
    """Start certbot's service when a renewal is due; returns its result."""
    host.check_output(
        "sed -i 's/^#* *renew_before_expiry.*/renew_before_expiry = 3000 days/' /etc/letsencrypt/renewal/*.conf"
    )
    host.run("systemctl start certbot.service")
    return str(host.check_output("systemctl show --property Result --value certbot.service"))


@pytest.mark.usefixtures("acme")
def test_a_certificate_is_issued_renewed_and_kept(host: Any) -> None:
    """Without a dropped connection; while the ACME server is unavailable the old one stays in use and a notification is sent."""
    done = run_playbook(VARIABLES, ("--tags", "mlflow,proxy"))
    assert done.returncode == 0, done.stdout[-3000:]
    first = served(host)
    assert "Pebble" in first.issuer.rfc4514_string()
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    (own,) = [entry for entry in control(host, "certificates") if entry["file"].endswith("/server.crt")]
    assert own["days"] > 30

    workers = host.check_output("systemctl show --property MainPID --value nginx.service")
    assert renew(host) == "success"
    # nginx reloads asynchronously.
    for _ in range(50):
        if (second := served(host)) != first:
            break
        time.sleep(0.2)
    assert second.serial_number != first.serial_number
    assert host.check_output("systemctl show --property MainPID --value nginx.service") == workers

    host.check_output("systemctl stop test-acme.service")
    assert renew(host) == "exit-code"
    assert served(host) == second
    reported = host.check_output("journalctl --unit 'mlflow-notify@certbot.service' --output cat")
    assert "Notify that certbot failed" in reported


@pytest.mark.usefixtures("acme")
def test_an_unavailable_acme_server_is_named(host: Any) -> None:
    """The play fails with certbot's message; nginx continues."""
    before = served(host)
    away = VARIABLES | {
        "mlflow_proxy_acme_directory_url": "https://acme.test:14009/dir",
        "mlflow_public_url": "https://acme.test",
    }
    done = run_playbook(away, ("--tags", "proxy"))
    assert done.returncode != 0
    message = " ".join(done.stdout.split())
    assert "https://acme.test:14009/dir has given no certificate for acme.test; nginx continues" in message
    assert served(host) == before
