"""Write the tables of the READMEs: variables from argument specs, figures from committed results.

``readme_tables.py`` rewrites the READMEs; ``readme_tables.py --check`` only
says, by exit code 1, that one of them is out of date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"


def table(role: Path) -> str:
    """A Markdown table of the role's variables, in the order of its argument spec."""
    text = (role / "meta" / "argument_specs.yml").read_text()
    options: dict[str, dict[str, Any]] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    lines = ["| variable | type | default | what it does |", "|---|---|---|---|"]
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        default = "**required**" if option.get("required") else f"`{_shown(option['default'])}`"
        description = str(option["description"]).replace("|", "\\|")
        lines.append(f"| `{name}` | {kind} | {default} | {description} |")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value == "":
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("|", "\\|")


def figures() -> str:
    """A Markdown table of what was measured, and the machine that it was measured on."""
    found = json.loads((RESULTS / "provisioning.json").read_text())
    memory, exposure, machine = found["idle_pss_mib"], found["systemd_exposure"], found["machine"]
    again = found["second_run_seconds"]
    both = memory["mlflow"] + memory["mlflow-asgi"]
    rows = [
        ("from a bare host to the first logged run", f"{found['provisioning_to_logged_run_seconds']} s"),
        ("running the playbook again", f"{again['median']} s ({again['min']}–{again['max']}), 0 changes"),
        ("memory of MLflow's processes, idle", f"{memory['mlflow']} MiB; with the ASGI unit running {both} MiB"),
        (
            "`systemd-analyze security`, 0 is best, 10 worst",
            f"REST {exposure['mlflow']}, ASGI {exposure['mlflow-asgi']}",
        ),
    ]
    where = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, a container as host, "
        f"packages in the cache, {found['date']}; measured by `scripts/measure_provisioning.py`, kept in "
        "`docs/results/provisioning.json`."
    )
    lines = [f"| {what} | {figure} |" for what, figure in rows]
    return "\n".join(["| what | figure |", "|---|---|", *lines, "", where])


def render(readme: str, mark: str, text: str) -> str:
    """``readme`` with the text between ``<!-- mark -->`` and ``<!-- /mark -->`` replaced.

    Raises:
        ValueError: the README lacks a mark.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, rest = readme.split(begin, 1)
    _, after = rest.split(end, 1)
    return f"{before}{begin}\n{text}\n{end}{after}"


def main() -> int:
    """Rewrite or check every README."""
    wanted = {role / "README.md": ("variables", table(role)) for role in sorted((ROOT / "roles").iterdir())}
    wanted[ROOT / "README.md"] = ("figures", figures())
    stale = []
    for readme, (mark, text) in wanted.items():
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
