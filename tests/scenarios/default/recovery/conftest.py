"""Fixtures of the tests that take, break and restore recovery points."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.host.conftest import client, http, server

__all__ = ["client", "http", "server"]


class Control:
    """mlflowctl on the host."""

    def __init__(self, host: Any) -> None:
        self.host = host

    def run(self, arguments: str, expect: int = 0, config: str = "") -> Any:
        """Run a command with ``--json``; returns what it printed, parsed.

        Args:
            arguments: of mlflowctl.
            expect: exit code.
            config: another configuration file.
        """
        prefix = f"MLFLOWCTL_CONFIG={config} " if config else ""
        done = self.host.run(f"{prefix}mlflowctl {arguments} --json")
        assert done.rc == expect, f"{done.rc}: {done.stdout}\n{done.stderr}"
        return json.loads(done.stdout or "null")

    def points(self, state: str = "verified") -> list[str]:
        """Names of the points of a state."""
        return [point["point"] for point in self.run("points") if point["state"] == state]

    def python(self, code: str) -> Any:
        """Run Python with mlflowctl's modules on the host; the last line it prints is JSON."""
        wrapper = self.host.file("/usr/local/bin/mlflowctl").content_string
        exports = "; ".join(line for line in wrapper.splitlines() if line.startswith("export "))
        interpreter = next(line for line in wrapper.splitlines() if line.startswith("exec ")).split()[1]
        done = self.host.run(f"{exports}; {interpreter} -B -c %s", code)
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(autouse=True)
def _no_failed_unit(host: Any) -> None:
    """Units that failed in other tests must not appear in this one's status."""
    host.check_output("systemctl reset-failed")


@pytest.fixture(scope="module")
def control(host: Any) -> Control:
    """mlflowctl on the host."""
    return Control(host)
