"""The server under attack: its URL, its logins, and the container that is its host."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.harness.artifacts import API

REST = "/api/2.0/mlflow"


@dataclass(frozen=True)
class Target:
    """One server.

    Attributes:
        url: the public one.
        ca: file that clients verify against.
        logins: name and password by role: viewer, editor and admin.
        container: the host.
    """

    url: str
    ca: str
    logins: dict[str, tuple[str, str]]
    container: str

    @property
    def address(self) -> tuple[str, int]:
        """Name and port to connect to."""
        url = urlsplit(self.url)
        return url.hostname or "", url.port or 443

    @property
    def path(self) -> str:
        """Path of the public URL."""
        return urlsplit(self.url).path

    @property
    def netloc(self) -> str:
        """Host header."""
        return urlsplit(self.url).netloc

    @property
    def origin(self) -> str:
        """The public URL without its path."""
        return self.url[: len(self.url) - len(self.path)]

    def authorization(self, role: str) -> str:
        """Value of the header for a role; empty without a role."""
        if role not in self.logins:
            return ""
        return "Basic " + base64.b64encode(":".join(self.logins[role]).encode()).decode()

    def session(self, role: str = "") -> requests.Session:
        """A client that verifies the server; without a login if there is no role."""
        session = requests.Session()
        session.trust_env, session.verify = False, self.ca
        session.auth = self.logins.get(role)
        return session

    def tls(self) -> ssl.SSLContext:
        """The same for plain sockets."""
        return ssl.create_default_context(cafile=self.ca)

    def head(self, method: str, path: str, role: str = "", **headers: object) -> bytes:
        """The header of a request of HTTP/1.1, with the empty line after it; ``_`` in a name stands for ``-``."""
        lines = [f"{method} {self.path}{path} HTTP/1.1", f"Host: {self.netloc}"]
        if role:
            lines.append(f"Authorization: {self.authorization(role)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def on_host(self, *command: str, stdin: str = "", user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a command on the host."""
        return subprocess.run(
            ["docker", "exec", "--interactive", f"--user={user}", self.container, *command],
            input=stdin, capture_output=True, text=True, errors="replace", check=False, timeout=900,
        )  # fmt: skip

    def shell(self, script: str, user: str = "root") -> str:
        """The output of a shell script on the host."""
        return self.on_host("sh", "-c", script, user=user).stdout

    def control(self, arguments: str) -> tuple[int, Any, str]:
        """Exit code of mlflowctl, its JSON output, and its messages."""
        done = self.on_host("sh", "-c", f"mlflowctl {arguments} --json")
        try:
            found = json.loads(done.stdout or "null")
        except ValueError:
            found = None
        return done.returncode, found, done.stderr.strip()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """mlflowctl's settings of the instance: its user, its volume, its repositories."""
        code = (
            "import glob, json, tomllib; data = {}\n"
            "for part in ['/etc/mlflow/mlflowctl.toml', *glob.glob('/etc/mlflow/mlflowctl.d/*.toml')]:\n"
            "    data |= tomllib.load(open(part, 'rb'))\n"
            "print(json.dumps(data, default=str))"
        )
        found: dict[str, Any] = json.loads(self.on_host("python3", "-c", code).stdout)
        return found

    def experiment(self, name: str, **more: str) -> str:
        """ID of a new experiment."""
        with self.session("editor") as http:
            answer = http.post(f"{self.url}{REST}/experiments/create", json={"name": name, **more}, timeout=60)
        return str(answer.json()["experiment_id"])

    def run(self, experiment: str = "0") -> str:
        """ID of a new run."""
        with self.session("editor") as http:
            answer = http.post(f"{self.url}{REST}/runs/create", json={"experiment_id": experiment}, timeout=60)
        return str(answer.json()["run"]["info"]["run_id"])

    def artifacts(self, root: str) -> str:
        """A unique path for artifacts."""
        return f"{self.url}{API}/{root}"
