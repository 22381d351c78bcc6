"""List every endpoint of a release, with its role: docs/reference/endpoints.md; and its list in files/endpoints.

``ssh host cat /opt/mlflow/current/release.json | python -m scripts.access_table``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from plugins.filter.access import PREFIX, Entry, access_table
from scripts.readme_tables import render

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "endpoints.md"
LISTS = ROOT / "files" / "endpoints"
RULES = ROOT / "roles" / "mlflow_access" / "files" / "access-rules.yml"


def endpoints_table(entries: list[Entry]) -> str:
    """A Markdown table with a line for each operation, by path; ``under`` names the prefixes that it has."""
    operations: dict[tuple[str, str, str], list[str]] = {}
    for entry in entries:
        method, path = entry["endpoint"].split(" ")
        found = PREFIX.match(path)
        prefix = found.group() if found else ""
        key = (path.removeprefix(prefix), method, entry["role"])
        operations.setdefault(key, []).append(prefix.strip("/"))
    lines = ["| endpoint | role | under |", "|---|---|---|"]
    for (path, method, role), prefixes in sorted(operations.items()):
        lines.append(f"| `{method} {path}` | {role} | {', '.join(sorted(filter(None, prefixes)))} |")
    return "\n".join(lines)


def entries_of(endpoints: list[str]) -> list[Entry]:
    """Each endpoint with its role, by the project's own rules."""
    return access_table(endpoints, yaml.safe_load(RULES.read_text()), {})


def endpoints_list(endpoints: list[str]) -> str:
    """The file in ``files/endpoints`` of a release: an endpoint on each line."""
    return "".join(f"{endpoint}\n" for endpoint in sorted(endpoints))


def main() -> None:
    """Rewrite both for the release whose description is on standard input."""
    description = json.load(sys.stdin)
    (LISTS / f"mlflow-{description['version']}.txt").write_text(endpoints_list(description["endpoints"]))
    entries = entries_of(description["endpoints"])
    PAGE.write_text(render(PAGE.read_text(), "endpoints", endpoints_table(entries)))


if __name__ == "__main__":
    main()
