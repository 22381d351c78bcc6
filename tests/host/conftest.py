"""Fixtures of the tests that run against a provisioned host, through its public URL."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from tests.harness.artifacts import API

ROOT = Path(__file__).parents[2]
CLIENT_PYTHON = ROOT / ".venv-client" / "bin" / "python"


@dataclass(frozen=True)
class Server:
    """The server as its operator described it: role defaults with the scenario's values on top."""

    name: str
    settings: dict[str, Any]

    def __getitem__(self, variable: str) -> Any:
        return self.settings[variable]

    @property
    def url(self) -> str:
        """The public URL."""
        return str(self["mlflow_public_url"])

    @property
    def origin(self) -> str:
        """The public URL without its path."""
        return self.url[: len(self.url) - len(urlsplit(self.url).path)]

    @property
    def unit(self) -> str:
        """Prefix of the systemd units."""
        return str(self["mlflow_unit"])

    @property
    def ca(self) -> str:
        """The certificate that clients verify against: the CA's, or the user's own."""
        own = self["mlflow_proxy_tls_certificate_file"]
        return own or str(self["mlflow_proxy_ca_local_path"])

    @property
    def login(self) -> tuple[str, str]:
        """Name and password of the first user."""
        user = self["mlflow_users"][0]
        return user["name"], user["password"]

    @property
    def client_environment(self) -> dict[str, str]:
        """The environment of an unmodified client, without variables of ours."""
        name, password = self.login
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password,
            "MLFLOW_TRACKING_SERVER_CERT_PATH": self.ca,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GIT_PYTHON_REFRESH": "quiet",
        }


@pytest.fixture(scope="module")
def server(host: Any) -> Server:
    """The server under test."""
    settings: dict[str, Any] = {}
    for defaults in ROOT.glob("roles/*/defaults/main.yml"):
        settings.update(yaml.safe_load(defaults.read_text()))
    variables = host.ansible.get_variables()
    name = variables["inventory_hostname"]
    directory = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
    if directory.name != "inventory":
        directory = directory / "inventory"
    settings["mlflow_proxy_ca_local_path"] = str(directory / "client" / f"{name}-ca.crt")
    settings.update({key: value for key, value in variables.items() if not key.startswith("ansible_")})
    return Server(name, settings)


@pytest.fixture
def http(server: Server) -> Iterator[requests.Session]:
    """An HTTP session that verifies the server and logs in."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = server.ca
        session.auth = server.login
        yield session


@pytest.fixture
def anonymous(server: Server) -> Iterator[requests.Session]:
    """An HTTP session that verifies the server and has no login."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = server.ca
        yield session


@pytest.fixture(scope="module")
def client(server: Server) -> Callable[..., str]:
    """Run Python code, or a script, as a real MLflow client; returns what it prints.

    Further variables of the environment are keywords; an empty one is removed.
    """

    def run(*arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [CLIENT_PYTHON, "-W", "ignore", *arguments],
            env={name: value for name, value in (server.client_environment | environment).items() if value},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


_example_output: dict[str, str] = {}


@pytest.fixture
def example(server: Server, client: Callable[..., str]) -> str:
    """What examples/train.py printed; run once for all tests that need its run."""
    if server.name not in _example_output:
        _example_output[server.name] = client(str(ROOT / "examples" / "train.py"))
    return _example_output[server.name]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Print the end of the units' journals below a failed test."""
    outcome: Any = yield
    report = outcome.get_result()
    host = getattr(item, "funcargs", {}).get("host")
    server = getattr(item, "funcargs", {}).get("server")
    if report.when == "call" and report.failed and host is not None and server is not None:
        journal = host.run(f"journalctl --no-pager -n 40 -o short-iso -u '{server.unit}*' -u nginx -u 'postgresql@*'")
        report.sections.append(("journal of the units", journal.stdout))


@pytest.fixture
def in_mlflow(server: Server, host: Any) -> Callable[[str], Any]:
    """Run Python on the host as MLflow's user, on its database; returns the JSON that it prints last."""

    def run(code: str) -> Any:
        command = ["systemd-run", "--quiet", "--wait", "--pipe", f"--uid={server['mlflow_user']}"]
        command += [f"--property=EnvironmentFile={server['mlflow_config_path']}/mlflow.env"]
        command += [f"{server['mlflow_root_path']}/current/bin/python", "-W", "ignore", "-"]
        done = host.run(f"{' '.join(command)} <<'PYTHON'\n{code}\nPYTHON")
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def root(server: Any) -> str:
    """URL of a directory that no other test writes to."""
    return f"{server.url}{API}/0/{uuid.uuid4().hex}/artifacts"
