"""Write the tables of the READMEs: variables from argument specs, figures from committed results.

``python -m scripts.readme_tables`` rewrites the READMEs; with ``--check`` it only
says, by exit code 1, that one of them is out of date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2.nativetypes import NativeEnvironment

from bench.table import artifacts, pressure, scale, settings, speed, speed_in_short

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


def sizes() -> str:
    """A Markdown table of what the roles compute from cores and RAM, by their own expressions."""
    environment = NativeEnvironment(undefined=jinja2.StrictUndefined)
    defaults: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for role in ("mlflow", "postgres"):
        defaults |= yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
        own |= yaml.safe_load((ROOT / "roles" / role / "vars" / "main.yml").read_text())
    own["postgres_client_connections"] = yaml.safe_load((ROOT / "playbooks/vars/wiring.yml").read_text())[
        "postgres_client_connections"
    ]
    names = {
        "workers": "__mlflow_workers",
        "max_connections": "__postgres_max_connections",
        "shared_buffers": "__postgres_shared_buffers_mb",
        "effective_cache_size": "__postgres_effective_cache_mb",
        "work_mem": "__postgres_work_mem_mb",
    }
    needed = ["postgres_client_connections", "__postgres_memory_mb", *names.values()]
    lines = [f"| cores, RAM | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for cores, gib in ((2, 4), (4, 8), (8, 32), (16, 64), (32, 256)):
        context: dict[str, Any] = defaults | {"ansible_facts": {"processor_vcpus": cores, "memtotal_mb": gib * 1024}}
        for name in needed:
            context[name] = environment.from_string(own[name]).render(context)
        cells = [f"{context[name]:,}" + (" MiB" if name.endswith("_mb") else "") for name in names.values()]
        lines.append(f"| {cores}, {gib} GiB | {' | '.join(cells)} |")
    return "\n".join(lines)


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
        f"packages in the cache, {found['date']}; measured by `python -m bench.provisioning`, kept in "
        "`docs/results/provisioning.json`."
    )
    lines = [f"| {what} | {figure} |" for what, figure in rows]
    return "\n".join(["| what | figure |", "|---|---|", *lines, "", where])


def recovery() -> str:
    """A Markdown table of what recovery points cost and give, and the machine that it was measured on."""
    found = json.loads((RESULTS / "recovery.json").read_text())
    growth, latency, restore, machine = found["growth"], found["latency"], found["restore"], found["machine"]
    middle = growth[1]
    share = 100 * middle["next_with_1_percent_changed"]["bytes_added"] / middle["first"]["bytes_added"]
    counts = " / ".join(f"{entry['count']:,}" for entry in growth)
    rows = [
        (
            f"first recovery point of {counts} files of {found['file_bytes'] / 1000:.0f} kB",
            _seconds(entry["first"]["seconds"] for entry in growth),
        ),
        (
            "the next one, 1 % of the files changed",
            _seconds(entry["next_with_1_percent_changed"]["seconds"] for entry in growth)
            + f"; {share:.1f} % of the bytes at {middle['count']:,}",
        ),
        (
            "logging a metric, 95th percentile: without a backup; during one; beside a core that only hashes, "
            "at the lowest priority",
            f"{latency['p95_ms']}; {latency['p95_ms_during_backup']}; {latency['p95_ms_beside_hashing']} ms",
        ),
        (
            f"restore onto a bare host: {restore['files']:,} files, {restore['bytes'] / 1e9:.1f} GB, "
            f"{restore['metric_rows']:,} rows of metrics",
            f"{restore['rto_seconds']:.0f} s, with installing everything {restore['with_provisioning_seconds']} s; "
            f"{restore['lost']} lost",
        ),
    ]
    where = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, a container as host, "
        f"{found['date']}; measured by `python -m bench.recovery`, kept in `docs/results/recovery.json`."
    )
    lines = [f"| {what} | {figure} |" for what, figure in rows]
    return "\n".join(["| what | figure |", "|---|---|", *lines, "", where])


def access() -> str:
    """A Markdown table of what a login costs, and the machine that it was measured on."""
    found = json.loads((RESULTS / "access.json").read_text())
    machine, cost = found["machine"], found["with_login_to_without"]
    middle, p95 = found["median_while_guessed_to_calm"], found["p95_while_guessed_to_calm"]
    rows = [
        (
            f"{found['requests']:,} requests of `{found['route']}` with a login, to as many without",
            f"{cost['median']:.2f} × the time ({cost['min']:.2f}–{cost['max']:.2f})",
        ),
        (
            "a client's latency while somebody elsewhere guesses its password "
            f"{found['guesses_per_second']} times a second",
            f"median {middle['median']:.2f} ×, 95th percentile {p95['median']:.2f} ×; no error",
        ),
    ]
    where = (
        f"{machine['processor']}, {machine['cores']} cores, medians of {found['rounds']} rounds, one connection that "
        f"stays open, {found['date']}; measured by `python -m bench.access`, kept in `docs/results/access.json`."
    )
    lines = [f"| {what} | {figure} |" for what, figure in rows]
    return "\n".join(["| what | figure |", "|---|---|", *lines, "", where])


def _seconds(values: Iterable[float]) -> str:
    return " / ".join(f"{value:.0f}" for value in values) + " s"


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
    """File, mark and text of each table; of the long measurements those that were made."""
    readme, page = ROOT / "README.md", ROOT / "docs" / "speed.md"
    found = [(role / "README.md", "variables", table(role)) for role in sorted((ROOT / "roles").iterdir())]
    found += [(readme, "figures", figures()), (readme, "recovery", recovery())]
    found += [(ROOT / "docs" / "access.md", "figures", access()), (page, "sizes", sizes())]
    for file, document, write in (
        (ROOT / "bench" / "results.json", readme, speed_in_short),
        (ROOT / "bench" / "results.json", page, speed),
        (RESULTS / "artifacts.json", page, artifacts),
        (RESULTS / "scale.json", page, scale),
        (RESULTS / "postgres.json", page, settings),
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
