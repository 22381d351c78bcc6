"""Lock, fence, configuration, status and command line of mlflowctl."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from mlflowctl import (
    cli,
    config,
    fence,
    lock,
    service,
    verify,
)
from mlflowctl.errors import Busy, ControlError

from tests.unit.helpers import settings


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    """A second transaction is told who is at work, and gets its turn afterwards."""
    with (
        lock.exclusive(tmp_path, "backup"),
        pytest.raises(Busy, match="backup"),
        lock.exclusive(tmp_path, "drill"),
    ):
        pass
    with lock.exclusive(tmp_path, "drill"):
        pass


def test_the_fence_falls_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up inside, down after an error; without the unit's directory there is no backup."""
    monkeypatch.setattr(fence, "SETTLE_SECONDS", 0)
    path = tmp_path / "fence"
    with pytest.raises(RuntimeError), fence.raised(path):
        assert path.exists()
        raise RuntimeError
    assert not path.exists()
    with pytest.raises(ControlError, match="mlflowctl backup"), fence.raised(tmp_path / "none" / "fence"):
        pass


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    """A setting too few or too many, or no repository: the message says which."""
    good = settings(tmp_path)
    assert config.parse(good, "x").store == tmp_path / "store"
    for change, words in (
        ({"unit": None}, "missing .'unit'"),
        ({"more": 1}, "unknown .'more'"),
        ({"repositories": []}, "no repository"),
    ):
        data = {name: value for name, value in (good | change).items() if value is not None}
        with pytest.raises(ControlError, match=words):
            config.parse(data, "x")
    with pytest.raises(ControlError, match="use one of local"):
        config.parse(good, "x").repository("remote")


def test_status_names_what_is_overdue(tmp_path: Path) -> None:
    """Never, too long ago, or failed since."""
    instance = config.parse(settings(tmp_path), "x")
    assert "ever taken" in verify.status(instance, {})["problems"][0]
    old = {"backup": {"ok": True, "success": {"time": datetime.now(UTC).timestamp() - 27 * 3600}}}
    assert "27 h old" in verify.status(instance, old)["problems"][0]
    failed = {
        "backup": {"ok": True, "success": {"time": datetime.now(UTC).timestamp()}},
        "drill": {"ok": False, "failure": {"at": "then", "error": "no room"}},
    }
    assert verify.status(instance, failed)["problems"] == ["the last drill failed at then: no room"]
    instance.full_file.touch()
    assert "uploads are refused" in verify.status(instance, failed)["problems"][1]


def test_the_services_environment_is_read_as_systemd_reads_it(tmp_path: Path) -> None:
    """Quotes are not part of a value; comments and empty lines are none."""
    (tmp_path / "mlflow.env").write_text('# a comment\n\nPLAIN=a=b\nQUOTED="WARNING"\nSPACES="a \\"b\\" c"\n')
    found = service.environment(replace(config.parse(settings(tmp_path), "x"), config_path=tmp_path))
    assert found == {"PLAIN": "a=b", "QUOTED": "WARNING", "SPACES": 'a "b" c', "PATH": "/usr/bin:/bin"}


def test_every_command_speaks_json_and_explains_itself(tmp_path: Path) -> None:
    """--json and --help everywhere; without a configuration the error is JSON and the exit code 2."""
    runner = CliRunner(env={"MLFLOWCTL_CONFIG": str(tmp_path / "none")})
    names = []
    for name, command in cli.main.commands.items():
        if isinstance(command, click.Group):
            names += [f"{name} {below}" for below in command.commands]
        elif not command.hidden:
            names.append(name)
    assert {"backup", "restore", "drill", "verify", "status", "leftovers delete", "orphans list"} <= set(names)
    one = (
        "upgrade-check",
        "notify",
        "create-repository",
        "leftovers delete",
        "leftovers put-back",
        "token revoke",
        "token rotate",
    )
    needs = {name: ["local"] for name in (*one, "client-bundle")} | {"token create": ["ci", "--owner", "ada"]}
    for name in names:
        shown = runner.invoke(cli.main, [*name.split(), "--help"])
        assert "--json" in shown.output, name
        done = runner.invoke(cli.main, [*name.split(), *needs.get(name, []), "--json"])
        assert done.exit_code == 2, name
        said = "MLFLOW_TRACKING_URI is" if name == "whoami" else "cannot read"
        assert said in json.loads(done.stdout)["error"], name
