"""Rules of the house that no linter knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted((ROOT / "roles").iterdir())
TASK_FILES = sorted(ROOT.glob("roles/*/tasks/*.yml"))
TEMPLATES = sorted(ROOT.glob("roles/*/templates/*/*.j2"))
PLAYBOOKS = sorted(ROOT.glob("playbooks/*.yml"))


def name(path: Path) -> str:
    """A path's name in test ids."""
    return str(path.relative_to(ROOT))


def test_the_globs_find_something() -> None:
    """No rule below is checked on nothing."""
    assert min(map(len, (ROLES, TASK_FILES, TEMPLATES, PLAYBOOKS))) >= 1
    assert len(TASK_FILES) > 20
    assert len(TEMPLATES) > 12


@pytest.mark.parametrize("path", TASK_FILES, ids=name)
def test_task_files_are_short_and_honest(path: Path) -> None:
    """One concern for each file; errors are not ignored; main is a table of contents."""
    text = path.read_text()
    limit = 60 if path.name == "main.yml" else 120
    assert len(text.splitlines()) <= limit
    assert "ignore_errors" not in text
    assert "docker" not in text.lower()


@pytest.mark.parametrize("path", TASK_FILES, ids=name)
def test_a_role_knows_only_itself(path: Path) -> None:
    """No other role's variables, no group of hosts; what is registered is internal."""
    role = path.parents[1].name
    text = path.read_text() + (path.parents[1] / "vars" / "main.yml").read_text()
    others = "|".join(other.name for other in ROLES if other.name != role)
    # Messages may name the variable that the user sets.
    code = re.sub(r"(fail_msg|msg): .*?(?=\n\s+\w+:|\Z)", "", text, flags=re.S)
    assert not re.findall(rf"\{{\{{[^}}]*(?<![\w.])(?:__)?(?:{others})_\w+", code)
    assert "groups[" not in text
    for registered in re.findall(r"register: (\w+)", text):
        assert registered.startswith(f"__{role}_"), registered


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_templates_say_that_they_are_managed(path: Path) -> None:
    """Whoever opens the file on the host is warned; a part that others include is no file."""
    if path.name != "common.conf.j2":
        text = path.read_text().removeprefix("#!/bin/sh\n")
        assert text.startswith("{{ ansible_managed | comment }}\n")


@pytest.mark.parametrize("path", PLAYBOOKS, ids=name)
def test_playbooks_say_what_they_are_for(path: Path) -> None:
    """What, when and an example head each playbook."""
    head = path.read_text().splitlines()[1:4]
    assert [line.split(":")[0] for line in head] == ["# What", "# When", "# Example"]


def test_collections_are_those_of_the_ansible_package() -> None:
    """requirements.yml pins what the ansible package ships, so Galaxy is not needed."""
    import ansible_collections  # type: ignore[import-untyped]

    folder = Path(next(iter(ansible_collections.__path__)))
    wanted: list[dict[str, Any]] = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    for collection in wanted:
        manifest = folder / collection["name"].replace(".", "/") / "MANIFEST.json"
        assert f'"version": "{collection["version"]}"' in manifest.read_text(), collection


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("files/locks/*.txt"), *ROOT.glob("requirements*.txt"), *ROOT.glob("examples/*.txt")]),
    ids=name,
)
def test_locks_are_pinned_and_hashed(path: Path) -> None:
    """Every requirement has one version and its hashes, and comes from no place of one machine."""
    text = path.read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines
    for line in lines:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==", line), line[:80]
        assert "--hash=sha256:" in line
    assert "file:" not in text
