"""Write the variable table of each role's README from its argument spec.

``readme_tables.py`` rewrites the READMEs; ``readme_tables.py --check`` only
says, by exit code 1, that one of them is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- variables -->", "<!-- /variables -->"


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


def render(readme: str, variables: str) -> str:
    """``readme`` with the text between the two marks replaced.

    Raises:
        ValueError: the README lacks a mark.
    """
    before, rest = readme.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{variables}\n{END}{after}"


def main() -> int:
    """Rewrite or check the READMEs of all roles."""
    stale = []
    for role in sorted((ROOT / "roles").iterdir()):
        readme = role / "README.md"
        wanted = render(readme.read_text(), table(role))
        if wanted != readme.read_text():
            stale.append(str(readme.relative_to(ROOT)))
            if "--check" not in sys.argv:
                readme.write_text(wanted)
    if stale and "--check" in sys.argv:
        print(f"out of date, run `make readme`: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
