"""A refusal is not a failure; every problem is reported in a sentence, with a documented exit code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

COMMANDS = ("status", "points", "verify", "gc --dry-run", "orphans list", "leftovers list", "audit", "certificates")


@pytest.mark.parametrize("order", ["2020", "latest --repository nowhere", "0000-no-such-point --replace-live"])
def test_a_refusal_is_not_a_failure(control: Any, host: Any, order: str) -> None:
    """A wrong argument: exit 2 and what to do; no unit fails, nothing is recorded, no notification is sent."""
    before = control.run("status", expect=control.host.run("mlflowctl status --json").rc)
    assert "there is no" in control.run(f"restore {order}", expect=2)["error"]
    assert host.run("systemctl is-failed mlflow-restore.service").stdout.strip() == "inactive"
    after = control.run("status", expect=1 if before["problems"] else 0)
    assert (after["problems"], after.get("restore")) == (before["problems"], before.get("restore"))


def test_a_failure_can_be_acknowledged(control: Any, host: Any) -> None:
    """It is a problem until it is acknowledged or the operation succeeds; an unknown operation is refused."""
    volume = "/var/lib/mlflow/artifacts"
    host.check_output(f"mv {volume}/.volume-id {volume}/.away")
    try:
        control.run("backup", expect=1)
    finally:
        host.check_output(f"mv {volume}/.away {volume}/.volume-id")
    assert "last backup failed" in str(control.run("status", expect=1)["problems"])
    control.run("acknowledge backup")
    assert "last backup failed" not in str(host.run("mlflowctl status --json").stdout)
    assert "no failure to acknowledge" in control.run("acknowledge backup", expect=2)["error"]
    control.run("backup")


@pytest.fixture(scope="module", params=["database", "volume", "repository", "rights", "settings"])
def broken(host: Any, server: Any, request: Any) -> Iterator[str]:
    """Removes something that every command may need; yields the prefix of a command."""
    volume, settings = server["mlflow_volume_path"], "/etc/mlflow/mlflowctl.toml"
    cluster = f"postgresql@{host.check_output('ls /etc/postgresql')}-main"
    away, back = {
        "database": (f"systemctl stop {cluster}", f"systemctl start {cluster}"),
        "volume": (f"mv {volume}/.volume-id {volume}/.away", f"mv {volume}/.away {volume}/.volume-id"),
        "repository": ("mv /var/backups/mlflow /var/backups/away", "mv /var/backups/away /var/backups/mlflow"),
        "rights": ("true", "true"),
        "settings": (
            f"cp -p {settings} /run/test-mlflowctl.toml && echo '[' >> {settings}",
            f"cp -p /run/test-mlflowctl.toml {settings}",
        ),
    }[request.param]
    host.check_output(away)
    try:
        yield "runuser -u nobody -- " if request.param == "rights" else ""
    finally:
        host.check_output(back)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_answer_without_a_traceback(host: Any, broken: str, command: str) -> None:
    """Every read-only command: an answer or a sentence, and a documented exit code."""
    done = host.run(f"{broken}mlflowctl {command}")
    assert done.rc in (0, 1, 2, 3, 75), done
    assert "Traceback" not in done.stdout + done.stderr
    assert "MLFLOWCTL_TRACEBACK" not in done.stdout + done.stderr


def test_bash_completes_the_commands(host: Any) -> None:
    """In bash-completion's directory, for the wrapper on the host."""
    done = host.check_output(
        "bash -c %s",
        "source /usr/local/share/bash-completion/completions/mlflowctl; COMP_WORDS=(mlflowctl upg); COMP_CWORD=1;"
        ' _mlflowctl_completion mlflowctl; echo "${COMPREPLY[@]}"',
    )
    assert done.strip() == "upgrade-check"
