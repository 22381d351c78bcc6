"""Client certificates as logins: their users and roles, and which are refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.harness.control import control
from tests.harness.playbook import ROOT

CERTIFICATES = Path(os.environ["CERTIFICATES"])
READS = "import mlflow; print(mlflow.search_experiments(max_results=1) is not None)"


def ask(host: Any, file: str, path: str = "/version", method: str = "GET", **more: Any) -> int:
    """The answer to a request with a client certificate."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(CERTIFICATES / "server.crt")
        session.cert = str(CERTIFICATES / f"{file}.pem")
        return session.request(method, host.ansible.get_variables()["mlflow_public_url"] + path, **more).status_code


@pytest.mark.parametrize(
    ("file", "reads", "deletes"),
    # bob is a viewer; a comma in the organization must not change the name; the user must exist; 400: nginx refuses it
    [("bob", 200, 403), ("spoof", 200, 403), ("nobody", 401, 401), ("revoked", 400, 400)],
)
def test_a_certificate_is_its_users_login(host: Any, file: str, reads: int, deletes: int) -> None:
    """By the common name, without a password, with the role of that user."""
    assert ask(host, file) == reads
    assert ask(host, file, "/api/2.0/mlflow/runs/delete", "POST") == deletes


def test_a_refusal_is_of_one_certificate(host: Any) -> None:
    """The answer to a certificate without a login, or with an unknown name, is not cached for the next one."""
    # A change of the logins invalidates the cache: without it bob might be cached.
    control(host, "token create forgetting --owner bob")
    try:
        assert ask(host, "nobody") == 401
        assert ask(host, "bob") == 200
    finally:
        control(host, "token revoke forgetting")


def test_a_certificate_with_the_name_of_a_token_logs_in_nobody(host: Any) -> None:
    """A token can only be used with its secret."""
    control(host, "token create certified --owner bob")
    try:
        assert ask(host, "token") == 401
    finally:
        control(host, "token revoke certified")


def test_a_login_that_is_sent_counts_instead(host: Any) -> None:
    """A wrong one is refused although the certificate is right."""
    assert ask(host, "bob", auth=("eve", "third-secret-word")) == 200
    assert ask(host, "bob", auth=("bob", "wrong")) == 401
    assert ask(host, "bob", "/api/2.0/mlflow/runs/create", "POST", auth=("eve", "third-secret-word")) == 400


def test_an_unmodified_client_logs_in_with_it(host: Any) -> None:
    """MLFLOW_TRACKING_CLIENT_CERT_PATH is enough."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/root"),
        "MLFLOW_TRACKING_URI": host.ansible.get_variables()["mlflow_public_url"],
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(CERTIFICATES / "server.crt"),
        "MLFLOW_TRACKING_CLIENT_CERT_PATH": str(CERTIFICATES / "bob.pem"),
    }
    python = ROOT / ".venv-client" / "bin" / "python"
    done = subprocess.run(
        [python, "-W", "ignore", "-c", READS], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "True", done.stderr


def test_every_failure_is_reported(host: Any) -> None:
    """The remaining days are shown for each file, including the revocation list."""
    found = {Path(entry["file"]).name: entry["days"] for entry in control(host, "certificates")}
    assert {name: days > 30 for name, days in found.items()} == dict.fromkeys(
        ["server.crt", "clients-ca.crt", "clients.crl"], True
    )
