"""Client certificates in addition to the login; and one that is revoked while its owner is connected."""

from __future__ import annotations

import base64
import os
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.harness.playbook import ask, run_playbook

CERTIFICATES = Path(os.environ["CERTIFICATES"])
GOOD = ("ada", "correct-horse-battery")
REQUIRED = {
    "mlflow_proxy_client_certificates": "required",
    "mlflow_proxy_client_ca_file": str(CERTIFICATES / "clients-ca.crt"),
}
REVOKED = REQUIRED | {"mlflow_proxy_client_crl_file": str(CERTIFICATES / "clients.crl")}


class Client:
    """One that resumes its TLS session, as browsers do."""

    def __init__(self, host: Any, file: str = "") -> None:
        variables = host.ansible.get_variables()
        self._address = urlsplit(variables["mlflow_public_url"])
        folder = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
        self._context = ssl.create_default_context(
            cafile=folder / "client" / f"{variables['inventory_hostname']}-ca.crt"
        )
        if file:
            self._context.load_cert_chain(CERTIFICATES / f"{file}.pem")
        self._session: ssl.SSLSession | None = None
        self.resumed: bool | None = None

    def ask(self, login: tuple[str, str] | None = GOOD, path: str = "/version") -> int:
        """The status of an answer, on a new connection."""
        name = str(self._address.hostname)
        head = f"GET {path} HTTP/1.1\r\nHost: {self._address.netloc}\r\nConnection: close\r\n"
        if login:
            head += f"Authorization: Basic {base64.b64encode(':'.join(login).encode()).decode()}\r\n"
        with (
            socket.create_connection((name, 443), timeout=30) as plain,
            self._context.wrap_socket(plain, server_hostname=name, session=self._session) as secure,
        ):
            secure.sendall(f"{head}\r\n".encode())
            status = int(secure.recv(1000).split()[1])
            self.resumed, self._session = secure.session_reused, secure.session
        return status


def test_a_certificate_is_needed_besides_the_login(host: Any) -> None:
    """Neither is enough alone; after a revocation an older TLS session is not resumed."""
    done = run_playbook(REQUIRED, ("--tags", "proxy"))
    assert done.returncode == 0, done.stdout[-3000:]
    anonymous, known, leaving = Client(host), Client(host, "bob"), Client(host, "revoked")
    assert anonymous.ask() == 403
    assert anonymous.ask(None, "/health") == 200
    assert known.ask(None) == 401
    assert known.ask(("ada", "wrong")) == 401
    assert known.ask() == 200
    assert leaving.ask() == 200
    assert leaving.ask() == 200
    assert leaving.resumed

    done = run_playbook(REVOKED, ("--tags", "proxy"))
    assert done.returncode == 0, done.stdout[-3000:]
    assert leaving.ask() == 400
    assert not leaving.resumed
    assert known.ask() == 200

    done = run_playbook(arguments=("--tags", "proxy"))
    assert done.returncode == 0, done.stdout[-3000:]
    assert ask(host, *GOOD).ok
