"""The views of a client, an operator and a receiver of notifications."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

import requests

# A limit for hangs: what works is much faster.
BOUND = 180.0
TAG = "notified-of-the-day"
SETTINGS = "/etc/mlflow/mlflowctl.toml"
# In a directory that survives a reboot.
KEPT = "/var/tmp/mlflowctl.toml.kept"


@dataclass
class Report:
    """The reports during one step, and after how many seconds."""

    step: str
    client: str = ""
    client_seconds: float = 0.0
    status: str = ""
    notified: str = ""
    back_seconds: float = 0.0
    back: bool = True
    problems: list[str] = field(default_factory=list)


@dataclass
class Server:
    """A server in a container that stands for its host."""

    container: str
    inventory: str
    url: str
    ca: str
    login: tuple[str, str]
    unit: str = "mlflow"

    def run(self, command: str, bound: float = 600) -> subprocess.CompletedProcess[str]:
        """A shell command on the host."""
        asked = ["docker", "exec", self.container, "sh", "-c", command]
        return subprocess.run(asked, capture_output=True, text=True, check=False, timeout=bound)

    def ask(self, path: str = "/api/2.0/mlflow/experiments/search?max_results=1", **more: Any) -> tuple[str, float]:
        """Status and message of a request, or the client's error; and how long it took."""
        begun = time.monotonic()
        wanted: dict[str, Any] = {"method": "GET", "url": self.url + path, "timeout": 30} | more
        try:
            with requests.Session() as session:
                session.trust_env, session.verify, session.auth = False, self.ca, self.login
                answer = session.request(**wanted)
            printed = f"{answer.status_code}" if answer.ok else f"{answer.status_code} {_message(answer)}"
        except requests.RequestException as error:
            printed = type(error).__name__
        return printed, time.monotonic() - begun

    def wait(self, bound: float = BOUND) -> tuple[bool, float]:
        """Whether the server answers again, and after how long."""
        begun = time.monotonic()
        while time.monotonic() - begun < bound:
            if self.ask()[0] == "200":
                return True, time.monotonic() - begun
            time.sleep(0.5)
        return False, bound

    def status(self) -> str:
        """The problems that `mlflowctl status` reports, in one line."""
        done = self.run("mlflowctl status --json", 60)
        if "Traceback" in done.stderr:
            return "traceback"
        try:
            problems = json.loads(done.stdout).get("problems", [])
        except ValueError:
            return f"exit {done.returncode}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}"
        printed = [problem if isinstance(problem, str) else json.dumps(problem) for problem in problems]
        return "; ".join(printed) or "no problem"

    def listen(self) -> None:
        """Let the notifier write to the journal only; :meth:`leave` restores the settings."""
        command = json.dumps(["/usr/bin/logger", "--tag", TAG])
        edit = f's|^command = .*|command = {command}|; s|^mail = .*|mail = ""|; s|^url = .*|url = ""|'
        self.run(f"test -e {SETTINGS} && {{ test -e {KEPT} || cp -p {SETTINGS} {KEPT}; sed -i '{edit}' {SETTINGS}; }}")

    def leave(self) -> None:
        """Restore the host's settings."""
        self.run(f"test -e {SETTINGS} && cp -p {KEPT} {SETTINGS}; rm -f {KEPT}")

    def check(self) -> None:
        """Run the check that the timer runs each minute, which notifies if the server does not serve."""
        self.run(f"systemctl start {self.unit}-watch.service")

    def notified(self, since: str) -> str:
        """The notifications since a time of the host's clock: a unit or a part, and why."""
        printed = self.run(f"journalctl --quiet --since '{since}' --output cat --identifier {TAG}").stdout
        lines = list(dict.fromkeys(line.strip() for line in printed.splitlines() if line.strip()))
        return "; ".join(line[:120] for line in lines) or "nobody"


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("message", ""))[:120]
    except ValueError:
        return answer.text.strip().splitlines()[0][:80] if answer.text.strip() else ""
