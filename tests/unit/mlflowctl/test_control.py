"""Lock, fence, configuration, status and command line of mlflowctl."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from mlflowctl import stores
from mlflowctl.access import declared
from mlflowctl.cli import main
from mlflowctl.core import checks, config, errors, lock, service
from mlflowctl.core.errors import Busy, ControlError
from mlflowctl.operations import status, watch
from mlflowctl.stores.artifacts import fence

from tests.unit.helpers import configured, settings

ROOT = Path(__file__).parents[3]


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    """A second operation is refused with the name of the first, and can run afterwards."""
    with (
        lock.exclusive(tmp_path, "backup"),
        pytest.raises(Busy, match="backup"),
        lock.exclusive(tmp_path, "drill"),
    ):
        pass
    with lock.exclusive(tmp_path, "drill"):
        pass


def test_the_fence_is_lowered_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised inside, lowered after an error; without the unit's directory there is no backup."""
    monkeypatch.setattr(fence, "SETTLE_SECONDS", 0)
    path = tmp_path / "fence"
    with pytest.raises(RuntimeError), fence.raised(path):
        assert path.exists()
        raise RuntimeError
    assert not path.exists()
    with pytest.raises(ControlError, match="mlflowctl backup"), fence.raised(tmp_path / "none" / "fence"):
        pass


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    """A missing or unknown setting, or no repository: the message says which."""
    good = settings(tmp_path)
    assert stores.artifacts.of(configured(tmp_path)).address == str(tmp_path / "store")
    for change, words in (
        ({"notify": None}, "missing .'notify'"),
        ({"more": 1}, "unknown .'more'"),
        ({"instance": {"unit": "x"}}, "instance: missing .*'user'"),
        ({"notify": good["notify"] | {"more": 1}}, "notify: .* unknown .'more'"),
        ({"recovery": good["recovery"] | {"repositories": []}}, "no repository"),
        ({"recovery": good["recovery"] | {"repositories": [{"name": "x"}]}}, "repositories: missing .'location'"),
    ):
        data = {name: value for name, value in (good | change).items() if value is not None}
        with pytest.raises(ControlError, match=words):
            config.parse(data, "x")
    with pytest.raises(ControlError, match="use one of local"):
        config.parse(good, "x").recovery.repository("remote")


def test_status_names_what_is_overdue(tmp_path: Path) -> None:
    """Never run, too long ago, or failed since; acknowledged failures are left out."""
    instance = configured(tmp_path)

    def problems(recorded: dict[str, Any]) -> list[str]:
        return [finding.problem for finding in status.overdue(instance, recorded)]

    assert "ever taken" in problems({})[0]
    old = {"backup": {"ok": True, "success": {"time": datetime.now(UTC).timestamp() - 27 * 3600}}}
    assert "27 h old" in problems(old)[0]
    failure = {"at": "then", "error": "no room"}
    failed = {
        "backup": {"ok": True, "success": {"time": datetime.now(UTC).timestamp()}},
        "drill": {"ok": False, "failure": failure},
    }
    assert problems(failed) == ["the last drill failed at then: no room"]
    failure["acknowledged"] = "now"
    assert problems(failed) == []


def test_status_reports_all_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No database, no volume, no server, no systemd: one line for each, and never an exception."""
    monkeypatch.setattr(declared, "settings", lambda: tmp_path / "none")
    data = settings(tmp_path, artifacts={"path": str(tmp_path / "gone")}) | {"timers": ["mlflow-backup.timer"]}
    facts = status.facts(config.parse(data, "x"), {})
    printed = " ".join(facts["problems"])
    for words in ("cannot connect to PostgreSQL", "is the artifact volume mounted", "wsgi.sock", "was ever taken"):
        assert words in printed
    assert not [problem for problem in facts["problems"] if "\n" in problem or "Traceback" in problem]
    json.dumps(facts)


def test_a_check_that_hangs_or_fails_does_not_stop_the_others() -> None:
    """Each is reported in a sentence, with the results of the others."""
    never = threading.Event()
    fine = checks.Finding("fine", "seen")

    def broken() -> list[checks.Finding]:
        raise ValueError("two\nlines")

    found = checks.run(
        [
            checks.Check("hangs", lambda: [fine] * never.wait(60)),
            checks.Check("breaks", broken),
            checks.Check("sees", lambda: [fine]),
        ],
        0.2,
    )
    assert [finding.problem for finding in found] == [
        "hangs did not answer within 0.2 s",
        "breaks: ValueError: two lines",
        "seen",
    ]


def test_a_change_is_reported_once() -> None:
    """New when both checks have it, over when neither has; explained and transient problems wait."""
    cause, effect = checks.Finding("postgresql", "is down"), checks.Finding("ready", "503", ("postgresql",))
    starting = checks.Finding("mlflow.service", "is starting", transient=True)

    def changes(first: list[checks.Finding], second: list[checks.Finding], reported: dict[str, str]) -> Any:
        return watch.changes(*watch.confirmed(first, second), reported)

    assert changes([cause, effect], [cause, effect], {}) == ({"postgresql": "is down"}, [])
    assert changes([cause, effect], [cause, effect], {"postgresql": "is down"}) == ({}, [])
    assert changes([cause], [], {}) == ({}, [])
    assert changes([cause], [], {"postgresql": "is down"}) == ({}, [])
    assert changes([], [], {"postgresql": "is down"}) == ({}, ["postgresql"])
    assert changes([effect], [effect], {"postgresql": "is down"}) == ({"ready": "503"}, ["postgresql"])
    assert changes([starting], [starting], {"mlflow.service": "died"}) == ({}, [])
    assert changes([starting], [starting], {}) == ({}, [])


def test_the_services_environment_is_read_as_systemd_reads_it(tmp_path: Path) -> None:
    """Quotes are not part of a value; comments and empty lines are skipped."""
    (tmp_path / "mlflow.env").write_text('# a comment\n\nPLAIN=a=b\nQUOTED="WARNING"\nSPACES="a \\"b\\" c"\n')
    found = service.environment(configured(tmp_path).instance)
    assert found == {"PLAIN": "a=b", "QUOTED": "WARNING", "SPACES": 'a "b" c', "PATH": "/usr/bin:/bin"}


def test_every_command_has_json_and_help(tmp_path: Path) -> None:
    """--json and --help everywhere; without a configuration the error is JSON and the exit code 1."""
    runner = CliRunner(env={"MLFLOWCTL_CONFIG": str(tmp_path / "none")})
    names = []
    for name, command in main.main.commands.items():
        if isinstance(command, click.Group):
            names += [f"{name} {below}" for below in command.commands]
        elif not command.hidden:
            names.append(name)
    assert {"backup", "restore", "drill", "verify", "status", "leftovers delete", "orphans list"} <= set(names)
    one = (
        "upgrade-check",
        "notify",
        "acknowledge",
        "create-repository",
        "leftovers delete",
        "leftovers put-back",
        "token revoke",
        "token rotate",
    )
    needs = {name: ["local"] for name in (*one, "client-bundle")} | {"token create": ["ci", "--owner", "ada"]}
    for name in names:
        shown = runner.invoke(main.main, [*name.split(), "--help"])
        assert "--json" in shown.output, name
        done = runner.invoke(main.main, [*name.split(), *needs.get(name, []), "--json"])
        assert done.exit_code == (2 if name == "whoami" else 1), name
        printed = "MLFLOW_TRACKING_URI is" if name == "whoami" else "cannot read"
        assert printed in json.loads(done.stdout)["error"], name


def test_help_lists_the_exit_codes() -> None:
    """Those of the errors, and the two without an error class; the manual lists the same."""
    shown = CliRunner().invoke(main.main, ["--help"]).output
    listed = {int(code) for code in re.findall(r"^ +(\d+) +\S", shown, re.MULTILINE)}
    raised = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    assert listed == raised | {0, 3}
    manual = (ROOT / "docs" / "reference" / "status-codes.md").read_text()
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", manual, re.MULTILINE)} == listed
