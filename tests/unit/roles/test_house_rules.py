"""Rules of the house that no linter knows."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import jinja2.nodes
import pytest
import yaml

ROOT = Path(__file__).parents[3]
ROLES = sorted((ROOT / "roles").iterdir())
TASK_FILES = sorted(ROOT.glob("roles/*/tasks/*.yml"))
TEMPLATES = sorted(ROOT.glob("roles/*/templates/*/*.j2"))
PLAYBOOKS = sorted(ROOT.glob("playbooks/*.yml"))
# All that Ansible reads of a role as a template.
ROLE_FILES = sorted(
    path
    for folder in ("tasks", "handlers", "defaults", "vars", "templates")
    for path in ROOT.glob(f"roles/*/{folder}/**/*")
    if path.suffix in (".yml", ".j2")
)
# Keys whose values are expressions without braces.
CONDITIONS = {"when", "that", "changed_when", "failed_when", "until"}


def name(path: Path) -> str:
    """A path's name in test ids."""
    return str(path.relative_to(ROOT))


def test_the_globs_find_something() -> None:
    """Otherwise the rules below would check nothing."""
    assert min(map(len, (ROLES, TASK_FILES, TEMPLATES, PLAYBOOKS))) >= 1
    assert len(TASK_FILES) > 20
    assert len(TEMPLATES) > 12
    assert len(ROLE_FILES) > len(TASK_FILES) + len(TEMPLATES)


@pytest.mark.parametrize("path", TASK_FILES, ids=name)
def test_task_files_are_short_and_honest(path: Path) -> None:
    """One concern for each file; errors are not ignored; main is a table of contents."""
    text = path.read_text()
    limit = 60 if path.name == "main.yml" else 120
    assert len(text.splitlines()) <= limit
    assert "ignore_errors" not in text
    assert "docker" not in text.lower()


class Loader(yaml.SafeLoader):
    """YAML with Ansible's tags, whose values are text."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))


def expressions(value: Any, key: str = "") -> Iterator[str]:
    """Every text of a YAML document, as a template; conditions are expressions without braces."""
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            yield from expressions(inner, str(inner_key))
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner, key)
    elif isinstance(value, str):
        yield f"{{{{ {value} }}}}" if key in CONDITIONS else value


def names_in(template: str) -> set[str]:
    """Names that a template reads: variables, and keys of what another host or ``vars`` is asked for."""
    tree = jinja2.Environment(autoescape=True, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"]).parse(template)
    found = {node.name for node in tree.find_all(jinja2.nodes.Name)}
    found |= {node.attr for node in tree.find_all(jinja2.nodes.Getattr) if "hostvars" in str(node.node)}
    found |= {
        str(node.arg.value) for node in tree.find_all(jinja2.nodes.Getitem) if isinstance(node.arg, jinja2.nodes.Const)
    }
    for call in tree.find_all(jinja2.nodes.Call):
        if isinstance(call.node, jinja2.nodes.Name) and call.node.name in ("lookup", "query", "q"):
            found |= {str(argument.value) for argument in call.args[1:] if isinstance(argument, jinja2.nodes.Const)}
    return found


def owner(variable: str) -> str:
    """The role whose variable a name is: that with the longest name which it begins with."""
    plain = variable.removeprefix("__")
    return max((role.name for role in ROLES if plain.startswith(f"{role.name}_")), key=len, default="")


def of_other_roles(path: Path) -> list[str]:
    """Names of other roles' variables, and of hosts' groups, that a role's file reads."""
    role = path.relative_to(ROOT / "roles").parts[0]
    text = path.read_text()
    templates = [text] if path.suffix == ".j2" else expressions(list(yaml.load_all(text, Loader)))
    found = {found for template in templates for found in names_in(template)}
    return sorted(found for found in found if found == "groups" or owner(found) not in ("", role))


@pytest.mark.parametrize("path", ROLE_FILES, ids=name)
def test_a_role_knows_only_itself(path: Path) -> None:
    """No other role's variables and no group of hosts, in tasks, handlers, templates, defaults and variables."""
    assert of_other_roles(path) == []


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("tasks/x.yml", "- {debug: {msg: hello}, when: mlflow_postgres_wal_archive}"),
        ("tasks/x.yml", "- {debug: {msg: '{{ a.b[mlflow_postgres_port] }}'}}"),
        ("tasks/x.yml", "- block: [{assert: {that: ['a', 'not __mlflow_backup_x | default(true)']}}]"),
        ("tasks/x.yml", "- {debug: {msg: \"{{ hostvars['db']['mlflow_postgres_port'] }}\"}}"),
        ("tasks/x.yml", '- {debug: {msg: "{{ hostvars[inventory_hostname].mlflow_postgres_port }}"}}'),
        ("tasks/x.yml", "- {debug: {msg: \"{{ lookup('vars', 'mlflow_postgres_port') }}\"}}"),
        ("tasks/x.yml", "- {debug: {msg: x}, loop: \"{{ groups['mlflow_db'] }}\"}"),
        ("handlers/main.yml", "- {systemd_service: {name: '{{ mlflow_proxy_unit }}'}}"),
        ("templates/x.conf.j2", "{% if mlflow_backup_units is defined %}x{% endif %}"),
        ("defaults/main.yml", "mlflow_x: '{{ mlflow_client_path }}/x'"),
    ],
)
def test_what_a_role_should_not_know_is_seen(
    place: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place where another role's variable could hide."""
    for role in ROLES:
        (tmp_path / "roles" / role.name).mkdir(parents=True)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "roles" / "mlflow" / place
    path.parent.mkdir()
    path.write_text(text)
    assert len(of_other_roles(path)) == 1


def short_names(path: Path, ours: set[str]) -> list[str]:
    """Modules and filters of ours that a file of Ansible's calls without the collection's name."""
    text = path.read_text()
    documents = [] if path.suffix == ".j2" else list(yaml.load_all(text, Loader))
    environment = jinja2.Environment(autoescape=True, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
    called: set[str] = set()
    for template in expressions(documents) if documents else [text]:
        for node in environment.parse(template).find_all(jinja2.nodes.Filter):
            # Others are named by text: map('…'), select('…').
            arguments = [one.value for one in node.args[:1] if isinstance(one, jinja2.nodes.Const)]
            called |= {node.name, *map(str, arguments)}
    return sorted(ours & (called | set(keys(documents))))


def keys(value: Any) -> Iterator[str]:
    """Every key of a YAML document."""
    if isinstance(value, dict):
        yield from map(str, value)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from keys(inner)


@pytest.fixture(scope="module")
def our_names() -> set[str]:
    """The modules and filters below plugins/, without the collection's name."""
    found = {path.stem for path in ROOT.glob("plugins/modules/*.py")}
    for path in ROOT.glob("plugins/filter/*.py"):
        found |= set(importlib.import_module(f"plugins.filter.{path.stem}").FilterModule().filters())
    return found


@pytest.mark.parametrize("path", [*ROLE_FILES, *sorted(ROOT.glob("playbooks/**/*.yml"))], ids=name)
def test_our_modules_and_filters_are_called_by_their_full_names(path: Path, our_names: set[str]) -> None:
    """In an installed collection the short ones are found only by accident, or not at all."""
    assert short_names(path, our_names) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("x.yml", "- {host_files: {files: []}}"),
        ("x.yml", "- block: [{host_files: {files: []}}]"),
        ("x.yml", "- {debug: {msg: '{{ a | unread_units }}'}}"),
        ("x.yml", "- debug: {msg: x}\n  when: a | unread_units != []"),
        ("x.yml", "- {debug: {msg: \"{{ a | map('unread_units') }}\"}}"),
        ("x.j2", "{% if a | unread_units %}x{% endif %}"),
    ],
)
def test_a_short_name_is_seen(file: str, text: str, tmp_path: Path, our_names: set[str]) -> None:
    """Each way of calling a module or filter."""
    path = tmp_path / file
    path.write_text(text)
    assert len(short_names(path, our_names)) == 1
    path.write_text(re.sub("(host_files|unread_units)", r"bare_metal.mlflow.\1", text))
    assert short_names(path, our_names) == []


@pytest.mark.parametrize("path", TASK_FILES, ids=name)
def test_what_is_registered_is_internal(path: Path) -> None:
    """It has the role's prefix for internal names."""
    for registered in re.findall(r"register: (\w+)", path.read_text()):
        assert registered.startswith(f"__{path.parents[1].name}_"), registered


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_templates_have_the_managed_header(path: Path) -> None:
    """A warning in each file on the host; parts that others include have none."""
    if path.name != "common.conf.j2" and not path.name.endswith(".lua.j2"):
        text = path.read_text().removeprefix("#!/bin/sh\n")
        assert text.startswith("{{ ansible_managed | comment }}\n")


@pytest.mark.parametrize("path", PLAYBOOKS, ids=name)
def test_playbooks_explain_their_purpose(path: Path) -> None:
    """What, when and an example head each playbook."""
    head = path.read_text().splitlines()[1:4]
    assert [line.split(":")[0] for line in head] == ["# What", "# When", "# Example"]


def roles_called(playbook: str, entry: str = "") -> set[str]:
    """Roles that a playbook calls: with an entry point, or with any."""
    found = set()
    for play in yaml.safe_load((ROOT / "playbooks" / playbook).read_text()):
        found |= {role["role"] for role in play.get("roles", []) if not entry}
        for task in play.get("tasks", []):
            called = task.get("ansible.builtin.import_role", {})
            if called and (not entry or called.get("tasks_from") == entry):
                found.add(called["name"])
    return found


def test_every_role_is_checked_first_and_can_be_removed() -> None:
    """What site.yml installs is validated before the first change, and removed by an uninstallation."""
    installed = roles_called("site.yml")
    assert installed | roles_called("clients.yml") == {role.name for role in ROLES}
    assert roles_called("check.yml", "validate") == installed
    assert roles_called("uninstall.yml", "remove") == installed


@pytest.mark.parametrize("path", PLAYBOOKS, ids=name)
def test_plays_need_no_ansible_cfg(path: Path) -> None:
    """Plays set how to connect, because an installed collection has no ansible.cfg."""
    for play in yaml.safe_load(path.read_text()):
        if play.get("become"):
            assert "vars/connection.yml" in play.get("vars_files", []), play["name"]


# Words that this project once used, as regular expressions, and what to write instead.
REPLACED_WORDS = {
    "deeds?": "operation",
    "strangers?": "unauthenticated client",
    "asks itself": "checks",
    "in a way of its own": "differently",
    "made up for": "repeated",
    "with_less": "a name that says what is removed",
    "looking_at_few": "a name that says what is limited",
    "told to come back": "get 429 with Retry-After",
    "can have this database": "can be migrated to",
    "tell somebody": "notify",
    "puts? (it |them )?aside": "set aside",
}
FOLDERS = ("bench", "docs", "files", "inventories", "playbooks", "plugins", "roles", "scripts", "tests")


def test_texts_use_words_of_the_field() -> None:
    """Names, comments and documents; committed results keep what was printed, and this file has the list."""
    paths = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    texts = {
        name(path): path.read_text()
        for path in paths
        if path.suffix in (".py", ".yml", ".j2", ".md", ".lua", ".sql") and path != Path(__file__)
    }
    assert len(texts) > 500
    found = [
        f"{file}: {word[0]!r}: write {better!r}"
        for replaced, better in REPLACED_WORDS.items()
        for file, text in texts.items()
        for word in re.finditer(rf"\b({replaced})\b", text, re.IGNORECASE)
    ]
    assert found == []


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
    """Every requirement has one version and its hashes, and none is a path of one machine."""
    text = path.read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines
    for line in lines:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==", line), line[:80]
        assert "--hash=sha256:" in line
    assert "file:" not in text
