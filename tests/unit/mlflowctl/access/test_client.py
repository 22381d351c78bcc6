"""The bundle for clients."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from mlflowctl.access import client, declared
from mlflowctl.core.errors import ControlError

URL = "https://mlflow.example.com/team"


@pytest.fixture
def place(tmp_path: Path) -> declared.Access:
    """A host with a user and a token."""
    (tmp_path / "users.json").write_text(
        json.dumps([{"name": "ada", "role": "admin", "hash": "x", "state": "present"}])
    )
    token = {"name": "ci", "owner": "ada", "role": "viewer", "hash": "{SSHA}x", "created": "", "lifetime": None}
    (tmp_path / "tokens.json").write_text(json.dumps([token | {"expires": None}]))
    (tmp_path / "ca.crt").write_text("a certificate\n")
    log = tmp_path / "log"
    return declared.Access(
        tmp_path, log, "www-data", "mlflow-login", log, log, tmp_path, URL, tmp_path / "ca.crt", [], 21
    )


@pytest.mark.parametrize(("name", "secret"), [("ada", "MLFLOW_TRACKING_PASSWORD"), ("ci", "MLFLOW_TRACKING_TOKEN")])
def test_the_scripts_set_what_a_client_needs(place: declared.Access, tmp_path: Path, name: str, secret: str) -> None:
    """For a user and for a token; shell and Python end with the same environment."""
    client.bundle(place, name, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / f"mlflow-{name}"
    wanted = {
        "MLFLOW_TRACKING_URI": URL,
        secret: "typed in",
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(folder / "ca.crt"),
    }
    if name == "ada":
        wanted["MLFLOW_TRACKING_USERNAME"] = "ada"
    plain = {"PATH": os.environ["PATH"]}
    shell = subprocess.run(
        ["sh", "-c", "stty() { :; }; . ./env.sh 2>/dev/null; env"],
        cwd=folder, env=plain, input="typed in\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {line for line in shell.stdout.splitlines() if line.startswith("MLFLOW")} == {
        f"{key}={value}" for key, value in wanted.items()
    }
    python = subprocess.run(
        ["python3", "-c", "import env, os, json; print(json.dumps(dict(os.environ)))"],
        cwd=folder, env=plain | {secret: "typed in"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {key: value for key, value in json.loads(python.stdout).items() if key.startswith("MLFLOW")} == wanted
    assert (folder / "ca.crt").read_text() == "a certificate\n"
    page, powershell = (folder / "README.md").read_text(), (folder / "env.ps1").read_text()
    for variable in wanted:
        assert variable in page
        assert variable in powershell


def test_without_a_ca_there_is_none(place: declared.Access, tmp_path: Path) -> None:
    """Clients of a public CA need no file."""
    message = client.bundle(replace(place, ca=None), "ada", tmp_path / "out.zip")
    assert message["files"] == ["README.md", "env.ps1", "env.py", "env.sh"]


def test_nothing_is_made_up_or_overwritten(place: declared.Access, tmp_path: Path) -> None:
    """An unknown name and a file that exists are refused."""
    with pytest.raises(ControlError, match="no user or token 'bob'"):
        client.bundle(place, "bob", tmp_path / "out.zip")
    (tmp_path / "out.zip").touch()
    with pytest.raises(ControlError, match="zip exists"):
        client.bundle(place, "ada", tmp_path / "out.zip")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "MLFLOW_TRACKING_URI is ''"),
        ({"MLFLOW_TRACKING_URI": "http://mlflow.example.com"}, "MLFLOW_TRACKING_URI is 'http"),
        ({"MLFLOW_TRACKING_URI": "https://127.0.0.1:9"}, "does not answer"),
    ],
)
def test_whoami_names_what_is_missing(environment: dict[str, str], message: str) -> None:
    """Before and after its request."""
    with pytest.raises(ControlError, match=message):
        client.whoami(environment)
