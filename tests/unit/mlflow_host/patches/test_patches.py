"""Patches that do not fit a release: those for speed are skipped with one line, those for safety prevent the start."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mlflow_host.core import settings
from mlflow_host.core.known import SAFETY, SPEED, MisfitError, Patch
from mlflow_host.patches import registry
from mlflow_host.patches.security import confine
from mlflow_host.patches.speed import values

from plugins.filter.sources import patch_names, source_tree

ROOT = Path(__file__).parents[4]
REPLACED = [patch for patch in registry.PATCHES.values() if patch.replaces]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A stand-in for an installed release that all patches fit: each target by name, and the applied patches."""
    stands: dict[str, Any] = {}
    applied: list[str] = []

    def resolve(target: str) -> Any:
        if stands.get(target, target) is None:
            raise MisfitError(f"{target} does not exist")
        return stands.get(target, target)

    monkeypatch.setattr("mlflow_host.core.known.resolve", resolve)
    monkeypatch.setattr("inspect.getsource", lambda found: f"text of {found}")
    for patch in registry.all_patches().values():
        if patch.replaces:
            monkeypatch.setitem(patch.known, "this one", patch.digest())
    for module in registry.MODULES:
        monkeypatch.setattr(module, "apply", lambda name=module.PATCH.name: applied.append(name))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.delenv(registry.SETTING, raising=False)
    stands["applied"] = applied
    stands["noted"] = tmp_path / registry.FILE
    return stands


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines in the journal."""
    return [record.getMessage() for record in caplog.records]


def test_all_are_applied_where_all_fit(release: dict[str, Any], caplog: Any) -> None:
    """Without a message."""
    registry.apply("rest")
    assert release["applied"] == list(registry.PATCHES)
    assert lines(caplog) == []
    assert json.loads(release["noted"].read_text()) == {}
    release["applied"].clear()
    registry.apply("asgi")
    assert release["applied"] == ["confine", "experiments", "no_login", "ping", "sessions"]


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "changed"])
@pytest.mark.parametrize("patch", REPLACED, ids=lambda patch: patch.name)
def test_what_a_patch_is_tied_to(release: dict[str, Any], caplog: Any, capsys: Any, patch: Patch, gone: bool) -> None:
    """Each target, missing or changed: a speed patch is skipped with one line, a safety patch refuses; the check reports both."""
    for target in patch.replaces:
        release[target] = None if gone else "another text"
        release["applied"].clear()
        caplog.clear()
        if patch.kind == SAFETY:
            with pytest.raises(MisfitError, match=f"must not serve.*{patch.name}"):
                registry.apply("rest")
            assert release["applied"] == []
            assert registry.main() == 1
            assert patch.name in capsys.readouterr().err
        else:
            registry.apply("rest")
            assert release["applied"] == [name for name in registry.PATCHES if name != patch.name]
            [line] = lines(caplog)
            assert line.startswith(f"patch {patch.name} is off, MLflow's own code is used: ")
            assert target in line
            assert list(json.loads(release["noted"].read_text())) == [patch.name]
            assert registry.main() == 0
            [reported] = json.loads(capsys.readouterr().out)["patches_off"]
            assert reported.startswith(f"{patch.name}: ")
        del release[target]


@pytest.mark.parametrize(
    "patch", [patch for patch in registry.all_patches().values() if patch.needs], ids=lambda patch: patch.name
)
def test_what_a_patch_needs(release: dict[str, Any], patch: Patch) -> None:
    """No name may be missing, including the settings' names and gunicorn's methods."""
    for target in patch.needs:
        release[target] = None
        assert list(registry.misfits(registry.all_patches().values())) == [
            other.name for other in registry.all_patches().values() if target in other.needs + other.replaces
        ]
        for service in patch.services if patch.kind == SAFETY else ():
            with pytest.raises(MisfitError, match=patch.name):
                registry.apply(service)
        del release[target]


def test_a_speed_patch_that_fails_when_applied_is_skipped(
    release: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """The others are applied; one for safety stops the start."""

    def broken() -> None:
        raise AttributeError("no such thing")

    monkeypatch.setattr(values, "apply", broken)
    registry.apply("rest")
    assert lines(caplog) == ["patch values is off, MLflow's own code is used: AttributeError: no such thing"]
    monkeypatch.setattr(confine, "apply", broken)
    with pytest.raises(AttributeError):
        registry.apply("rest")


@pytest.mark.parametrize(
    ("words", "left"),
    [("all", None), ("none", set()), ("metrics", {"metrics"}), ("values, metrics", {"metrics", "values"})],
)
def test_switched_off_by_the_operator(
    release: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
    words: str,
    left: set[str] | None,
) -> None:
    """Only those for speed, without a line in the journal; the file for the status lists them."""
    monkeypatch.setenv(registry.SETTING, words)
    registry.apply("rest")
    speed = {name for name, patch in registry.PATCHES.items() if patch.kind == SPEED}
    wanted = speed if left is None else left
    assert set(release["applied"]) == {"confine", "subjects"} | wanted
    assert set(json.loads(release["noted"].read_text())) == speed - wanted
    assert lines(caplog) == []


@pytest.mark.parametrize("words", ["metricks", "confine", "", "all,metrics"])
def test_an_unknown_name_is_refused(words: str) -> None:
    """So is one for safety, which stays on."""
    with pytest.raises(settings.SettingsError, match=r"mlflow_patches names .*: use all, none, or some of answers"):
        registry.switched_off(words)


def test_every_patch_is_registered() -> None:
    """A module with something to apply is in the registry under its name, and its test is there."""
    folder = ROOT / "files" / "mlflow_host"
    patches = {kind: folder / "patches" / kind for kind in ("security", "speed")}
    applying = {
        path.stem: kind
        for kind, place in patches.items()
        for path in place.glob("*.py")
        if "\ndef apply()" in path.read_text()
    }
    assert set(applying) == set(registry.PATCHES)
    for name, patch in registry.all_patches().items():
        assert patch.kind in (SPEED, SAFETY)
        assert applying.get(name, "") in ("", "speed" if patch.kind == SPEED else "security")
        assert len(list(folder.rglob(f"{name}.py"))) == 1
        assert (ROOT / patch.test).is_file(), patch.test
        assert patch.replaces or patch.needs


def test_the_role_knows_the_names() -> None:
    """What the play reads from the sources is what the server accepts."""
    tree = source_tree(str(ROOT / "files" / "mlflow_host"))
    for kind in (SPEED, SAFETY):
        registered = {name for name, patch in registry.all_patches().items() if patch.kind == kind}
        assert patch_names(tree, kind) == sorted(registered)


def test_targets_are_found_in_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By import, and a missing module or name has another message than a changed source."""
    module = ModuleType("stand_in")
    exec("class Store:\n    def log(self):\n        pass\n", module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, "stand_in", module)
    Patch("x", SPEED, "", "", needs=("stand_in:Store.log",)).check()
    for target in ("stand_in:Store.save", "stand_in:Shop.log", "no_such_module:x"):
        with pytest.raises(MisfitError, match=f"{target} does not exist"):
            Patch("x", SPEED, "", "", needs=(target,)).check()
    digest = Patch("x", SPEED, "", "", replaces=("logging:getLogger",)).digest()
    with pytest.raises(MisfitError, match="has changed"):
        Patch("x", SPEED, "", "", replaces=("logging:getLogger",), known={"1": "0" * 64}).check()
    Patch("x", SPEED, "", "", replaces=("logging:getLogger",), known={"1": digest}).check()
