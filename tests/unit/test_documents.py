"""Links, paths, modules and variables in documents exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HIDDEN = {"site-packages", "node_modules"}
# Without virtualenvs, caches and the demo's files.
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in HIDDEN for part in path.relative_to(ROOT).parts)
)
FENCE = re.compile(r"^\s*```.*?^\s*```\s*$", re.M | re.S)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"(?<!\\)\]\(([^()\s]+)\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")
# Folders whose files a document names by their whole path.
NAMED = re.compile(
    r"`((?:bench|docs|examples|files|inventories|molecule|playbooks|plugins|roles|scripts|tests)/[\w./@-]+)`"
)
# Made by a run, so not in a checkout.
MADE = (
    "docs/reference/commands.md",
    "docs/results/day.json",
    "inventories/single/client/",
    "inventories/single/group_vars/all/vault.yml",
)
MODULE = re.compile(r"`((?:mlflow_host|mlflowctl)(?:\.\w+)+)")
# What is not said by this project.
OTHERS_WORDS = {"CERTIFICATE_VERIFY_FAILED"}
# Words that stand for any name in a path.
PLACEHOLDERS = {"NAME", "TOPIC"}
# Names that look like variables and are none: groups, packages, metrics, a database, a tag, files.
OTHER_NAMES = {
    "mlflow_audit",
    "mlflow_backup_last_success_timestamp_seconds",
    "mlflow_clients",
    "mlflow_db",
    "mlflow_hba",
    "mlflow_host",
    "mlflow_ident",
    "mlflow_nodes",
    "mlflow_part_up",
    "mlflow_problems",
    "mlflow_up",
    "mlflow_upgrade_check",
    "mlflow_watch_timestamp_seconds",
}


@cache
def variables() -> set[str]:
    """Every name that an inventory may set, and those that the wiring sets."""
    specs = [yaml.safe_load(path.read_text()) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    found = {option for spec in specs for option in spec["argument_specs"]["main"]["options"]}
    # The wiring hands it to a role under another name.
    return found | set(yaml.safe_load((ROOT / "playbooks/vars/wiring.yml").read_text())) | {"mlflow_users"}


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page: small letters, hyphens for spaces, no punctuation; a number for the second of a name."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(page), re.M):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = found.get(name, 0)
        found[name] = count + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def broken(page: Path) -> list[str]:
    """Links of a page that lead to no file of the project, or to no heading of it."""
    wrong = []
    for target in LINK.findall(CODE.sub("", prose(page))):
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.is_relative_to(ROOT) or not file.exists():
            wrong.append(f"{target}: no such file")
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file)):
            wrong.append(f"{target}: no such heading")
    return wrong


def unreached(pages: list[Path], start: Path) -> list[str]:
    """Pages that no chain of links from a page leads to."""
    seen, ahead = set(), [start]
    while ahead:
        page = ahead.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in LINK.findall(CODE.sub("", prose(page))):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.exists():
                ahead.append(file)
    return [str(page.relative_to(ROOT)) for page in pages if page not in seen]


def name(page: Path) -> str:
    """A page's name in test ids."""
    return str(page.relative_to(ROOT))


def test_there_are_pages() -> None:
    """Otherwise the rules below would check nothing."""
    found = {name(page) for page in PAGES}
    assert {
        "README.md",
        "CONTRIBUTING.md",
        "docs/README.md",
        "docs/decisions/README.md",
        "roles/mlflow/README.md",
    } <= found
    assert sum(len(LINK.findall(prose(page))) for page in PAGES) > 100


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link to a file, each anchor to a heading."""
    assert broken(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    """A path in backticks, from the project's folder or the page's own."""
    named = {
        path
        for path in NAMED.findall(prose(page))
        if not path.startswith(MADE) and not PLACEHOLDERS & set(re.split(r"[./]", path))
    }
    assert [path for path in sorted(named) if not (ROOT / path).exists() and not (page.parent / path).exists()] == []


def module(dotted: str) -> bool:
    """Whether a dotted name is a module of ours, or something that a module has."""
    parts = dotted.split(".")
    folder = ROOT / "files" if parts[0] == "mlflow_host" else ROOT / "files" / "mlflowctl"
    place = folder.joinpath(*parts)
    if place.is_dir() or place.with_suffix(".py").exists():
        return True
    source = folder.joinpath(*parts[:-1]).with_suffix(".py")
    return source.exists() and re.search(rf"\b{parts[-1]}\b", source.read_text()) is not None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_modules_that_are_named_exist(page: Path) -> None:
    """A dotted name in backticks."""
    assert [dotted for dotted in sorted(set(MODULE.findall(prose(page)))) if not module(dotted)] == []


def test_the_readme_quotes_real_messages() -> None:
    """Each message in the table of symptoms is in a source, except for values of a run."""
    sources = [
        path for folder in ("files", "roles", "plugins") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    text = "\n".join(path.read_text() for path in sources if path.suffix in (".py", ".yml", ".j2"))
    text = re.sub(r'"\s*\n\s*f?"', "", text)
    symptoms = (ROOT / "README.md").read_text().partition("## When something is wrong")[2].partition("\n## ")[0]
    quoted = [quote for row in re.findall(r"^\| (.+?) \|", symptoms, re.M) for quote in re.findall(r"`([^`]+)`", row)]
    said = {part.strip(" ,") for quote in quoted for part in re.split(r"…|\d{4}|editor|admin|: |\.volume-id", quote)}
    assert len(said) > 12
    assert sorted(part for part in said - OTHERS_WORDS if part not in text) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_variables_that_are_named_exist(page: Path) -> None:
    """Under that name, or with that beginning (`mlflow_x_…`); the changelog also names old ones."""
    known = variables() | OTHER_NAMES | {role.name for role in (ROOT / "roles").iterdir()}
    named = set(re.findall(r"\bmlflow_[a-z0-9_]+(?![\w.*])", page.read_text()))
    unknown = {
        name for name in named - known if not (name.endswith("_") and any(one.startswith(name) for one in known))
    }
    assert sorted(unknown) == []


def test_every_page_is_reached_from_the_readme() -> None:
    """By links."""
    assert unreached(PAGES, ROOT / "README.md") == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](b.md)", []),
        ("[a](b.md#two-words)", []),
        ("[a](b.md#the-same-1) [b](#top)\n# Top", []),
        ("[a](b.md#whats-new-in-x) [a](https://example.com/x#y) `[a](no.md)`", []),
        ("```\n[a](no.md)\n# no heading\n```", []),
        ("[a](no.md)", ["no.md: no such file"]),
        ("[a](b.md#no)", ["b.md#no: no such heading"]),
        ("[a](b.md#the-same-2)", ["b.md#the-same-2: no such heading"]),
        ("[a](#no)", ["#no: no such heading"]),
        ("[a](../../b.md)", ["../../b.md: no such file"]),
    ],
)
def test_a_broken_link_is_seen(text: str, wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind, and none in code."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "b.md").write_text("# Two words\n## The same\n## The same\n## What's new in `x`?\n")
    (tmp_path / "a.md").write_text(text)
    assert broken(tmp_path / "a.md") == wrong


def test_a_page_that_nothing_leads_to_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directly or by another page."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    for page, text in {"a.md": "[b](b.md)", "b.md": "[a](a.md#x) [c](c.md)", "c.md": "", "d.md": "[a](a.md)"}.items():
        (tmp_path / page).write_text(text)
    assert unreached(sorted(tmp_path.glob("*.md")), tmp_path / "a.md") == ["d.md"]
