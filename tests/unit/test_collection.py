"""The collection that a release is works without the checkout that it was built from."""

from __future__ import annotations

import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import mlflowctl
import pytest
import yaml

from tests.harness.collection import NAME, ROOT, build, install, run_installed

GALAXY: dict[str, Any] = yaml.safe_load((ROOT / "galaxy.yml").read_text())
# The top-level files for users and Ansible; the two JSON files are Galaxy's.
TOP = {
    *("CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "requirements.txt", "FILES.json", "MANIFEST.json"),
    *("docs", "files", "meta", "playbooks", "plugins", "roles"),
}
VARIABLES = {
    # No host is needed: what is refused here is refused before a role is run.
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
    "mlflow_public_url": "https://mlflow.example.com",
    "mlflow_users": [{"name": "ada", "password": "correct-horse-battery", "role": "admin"}],
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the collection."""
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def folder(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the installed collection and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    install(archive, folder)
    return folder


def inventory(folder: Path, hosts: dict[str, Any]) -> Path:
    """An inventory of hosts with their variables, each of them both database and node."""
    groups = {group: {"hosts": hosts} for group in ("mlflow_db", "mlflow_nodes")}
    file = folder / "hosts.json"
    file.write_text(json.dumps({"all": {"vars": VARIABLES, "children": groups}}))
    return file


def test_the_archive_holds_what_an_installation_needs(archive: Path) -> None:
    """Every tracked file of what belongs to it, and nothing of the checkout's tools, tests and inventories."""
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    files = {member.name for member in members if not member.isdir()}
    assert {name.split("/")[0] for name in files} == TOP
    assert not [member.name for member in members if member.issym() or member.islnk()]
    on_disk = {path for name in TOP for path in (ROOT / name, *(ROOT / name).rglob("*")) if path.is_file()}
    expected = {str(path.relative_to(ROOT)) for path in on_disk if path.suffix != ".pyc"}
    assert files == expected | {"FILES.json", "MANIFEST.json"}


def test_names_and_versions_agree() -> None:
    """Of mlflowctl, of the links in the checkout, and in the tests."""
    assert GALAXY["version"] == mlflowctl.__version__
    assert f"{GALAXY['namespace']}.{GALAXY['name']}" == NAME
    links = ROOT / ".collections" / "ansible_collections" / GALAXY["namespace"] / GALAXY["name"]
    for link in links.iterdir():
        assert link.is_symlink()
        assert link.resolve() == ROOT / link.name
    # No link that leads back to itself.
    assert {link.name for link in links.iterdir()} == {"files", "galaxy.yml", "meta", "playbooks", "plugins", "roles"}


def test_it_needs_the_collections_that_it_uses() -> None:
    """Each one that a role or playbook names, in the version of requirements.yml or a newer one."""
    pinned = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    versions = {one["name"]: f">={one['version']}" for one in pinned}
    text = "\n".join(
        path.read_text()
        for top in ("roles", "playbooks")
        for path in ROOT.glob(f"{top}/**/*")
        if path.suffix in (".yml", ".j2")
    )
    used = set(re.findall(r"\b((?:community|ansible)\.(?!builtin\b|cfg\b)[a-z]+)\.[a-z]", text))
    assert GALAXY["dependencies"] == {name: versions[name] for name in used}


def test_the_playbooks_find_their_roles(folder: Path) -> None:
    """All of them by their full names, with the collection alone."""
    playbooks = sorted(path.stem for path in ROOT.glob("playbooks/*.yml"))
    done = run_installed(folder, inventory(folder, {"server": {}}), "--list-tasks", playbooks=playbooks)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [Path(found).stem for found in re.findall(r"^playbook: (\S+)", done.stdout, re.MULTILINE)] == playbooks


# Each is detected by another part: specs, wiring, values, the list of endpoints.
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"mlflow_verison": "3.17.2"}, "mlflow_verison is an unknown variable. Did you mean mlflow_version?"),
    ({"mlflow_postgres_database": "x"}, "set mlflow_database instead"),
    ({"mlflow_workers": "many"}, "mlflow_workers is 'many': use a whole number"),
    ({"mlflow_access_rules": {"editor": ["POST {api}/mlflow/runs/delet"]}}, "'POST {api}/mlflow/runs/delete'?"),
]


def test_it_refuses_mistakes(folder: Path) -> None:
    """What the check of variables reads and calls is in the collection. A host for each mistake."""
    hosts = {f"case-{number}": variables for number, (variables, _) in enumerate(MISTAKES)}
    done = run_installed(folder, inventory(folder, hosts), playbooks=["check"])
    assert done.returncode == 2, done.stdout + done.stderr
    reported = " ".join(done.stdout.split())
    assert [expected for _, expected in MISTAKES if expected not in reported] == [], done.stdout
