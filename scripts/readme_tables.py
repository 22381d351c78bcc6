"""Write the generated parts of the documents: variables, figures, patches, commands.

``python -m scripts.readme_tables`` rewrites the documents; with ``--check`` it only
reports, by exit code 1, that one of them is out of date.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2.nativetypes import NativeEnvironment

from bench import table as results
from bench.table_pressure import pressure
from scripts import command_reference
from tests.stock.differences import DIFFERENCES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"


def table(role: Path) -> str:
    """A Markdown table of the role's variables, in the order of its argument spec."""
    text = (role / "meta" / "argument_specs.yml").read_text()
    options: dict[str, dict[str, Any]] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    rows = []
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        default = "**required**" if option.get("required") else f"`{_shown(option['default'])}`"
        description = str(option["description"]).replace("|", "\\|")
        rows.append([f"`{name}`", kind, default, description])
    return results.markdown(["variable", "type", "default", "what it does"], rows)


def _shown(value: Any) -> str:
    if value == "":
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("|", "\\|")


def roles(page: Path) -> str:
    """A Markdown table of the roles, with links from a page to their READMEs."""
    rows = []
    for role in sorted((ROOT / "roles").iterdir()):
        description = yaml.safe_load((role / "meta" / "main.yml").read_text())["galaxy_info"]["description"]
        rows.append([f"[{role.name}]({os.path.relpath(role / 'README.md', page.parent)})", description])
    return results.markdown(["role", "what it is for"], rows)


def sizes() -> str:
    """A Markdown table of what the roles compute from cores and RAM, by their own expressions."""
    environment = NativeEnvironment(undefined=jinja2.StrictUndefined)
    defaults: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for role in ("mlflow", "mlflow_postgres"):
        defaults |= yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
        own |= yaml.safe_load((ROOT / "roles" / role / "vars" / "main.yml").read_text())
    own["mlflow_postgres_client_connections"] = yaml.safe_load((ROOT / "playbooks/vars/wiring.yml").read_text())[
        "mlflow_postgres_client_connections"
    ]
    names = {
        "workers": "__mlflow_workers",
        "max_connections": "__mlflow_postgres_max_connections",
        "shared_buffers": "__mlflow_postgres_shared_buffers_mb",
        "effective_cache_size": "__mlflow_postgres_effective_cache_mb",
        "work_mem": "__mlflow_postgres_work_mem_mb",
    }
    needed = ["mlflow_postgres_client_connections", "__mlflow_postgres_memory_mb", *names.values()]
    rows = []
    for cores, gib in ((2, 4), (4, 8), (8, 32), (16, 64), (32, 256)):
        facts = {"processor_vcpus": cores, "memtotal_mb": gib * 1024}
        context: dict[str, Any] = defaults | {"ansible_facts": facts, "__wiring_node": facts}
        for name in needed:
            context[name] = environment.from_string(own[name]).render(context)
        cells = [f"{context[name]:,}" + (" MiB" if name.endswith("_mb") else "") for name in names.values()]
        rows.append([f"{cores}, {gib} GiB", *cells])
    return results.markdown(["cores, RAM", *names], rows)


def patches() -> str:
    """A Markdown table of the patches of MLflow, as the registry on hosts has them."""
    sys.path.insert(0, str(ROOT / "files"))
    from mlflow_host.patches import registry

    rows = [
        [
            f"`{patch.name}`",
            patch.kind,
            patch.why,
            "<br>".join(f"`{target}`" for target in patch.replaces) or "names only",
            f"`{patch.test}`",
        ]
        for patch in sorted(registry.all_patches().values(), key=lambda patch: (patch.kind, patch.name))
    ]
    return results.markdown(["patch", "kind", "what it does", "whose text it is tied to", "test"], rows)


def differences() -> str:
    """A Markdown table of the answers that differ from a stock server's."""
    rows = []
    for item in DIFFERENCES:
        # A literal star is in quotes; all others are wildcards.
        questions = "<br>".join(item.questions).replace("[*]", "'*'").replace("[?]", "?")
        rows.append([questions, item.stock, item.here, item.why])
    return results.markdown(["question", "stock", "here", "why"], rows)


def render(readme: str, mark: str, text: str) -> str:
    """``readme`` with the text between ``<!-- mark -->`` and ``<!-- /mark -->`` replaced.

    Raises:
        ValueError: the README lacks a mark.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, rest = readme.split(begin, 1)
    _, after = rest.split(end, 1)
    return f"{before}{begin}\n{text}\n{end}{after}"


def tables() -> list[tuple[Path, str, str]]:
    """File, mark and text of each table; long measurements only if they have results."""
    readme, page, overview = ROOT / "README.md", ROOT / "docs" / "speed.md", RESULTS / "README.md"
    found = [(role / "README.md", "variables", table(role)) for role in sorted((ROOT / "roles").iterdir())]
    variables = ROOT / "docs" / "reference" / "variables.md"
    found.append((variables, "roles", roles(variables)))
    found.append((page, "sizes", sizes()))
    found.append((ROOT / "docs" / "reference" / "patches.md", "patches", patches()))
    found.append((ROOT / "docs" / "reference" / "differences.md", "differences", differences()))
    found.append((command_reference.PAGE, "commands", command_reference.commands()))
    short = (ROOT / "bench" / "results.json", RESULTS / "provisioning.json", RESULTS / "recovery.json")
    if all(file.exists() for file in short):
        found.append((readme, "figures", results.figures(*(json.loads(file.read_text()) for file in short))))
    for file, document, write in (
        (RESULTS / "provisioning.json", overview, results.provisioning),
        (RESULTS / "recovery.json", overview, results.recovery),
        (RESULTS / "access.json", overview, results.access),
        (ROOT / "bench" / "results.json", overview, results.speed_in_short),
        (ROOT / "bench" / "results.json", page, results.speed),
        (RESULTS / "artifacts.json", page, results.artifacts),
        (RESULTS / "scale.json", page, results.scale),
        (RESULTS / "postgres.json", page, results.settings),
        (RESULTS / "postgres-disk.json", page, results.settings_disk),
        (RESULTS / "application.json", page, results.application),
        (RESULTS / "pressure.json", page, pressure),
    ):
        if file.exists():
            found.append((document, write.__name__, write(json.loads(file.read_text()))))
    return found


def main() -> int:
    """Rewrite or check every README."""
    stale = []
    for readme, mark, text in tables():
        rendered = render(readme.read_text(), mark, text)
        if rendered != readme.read_text():
            stale.append(str(readme.relative_to(ROOT)))
            if "--check" not in sys.argv:
                readme.write_text(rendered)
    if stale and "--check" in sys.argv:
        print(f"out of date, run `make readme`: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
