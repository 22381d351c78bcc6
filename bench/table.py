"""The committed results as tables in docs/speed.md."""

from __future__ import annotations

from statistics import median
from typing import Any

# What the README shows, and of how many clients.
SHORT = {
    "log-metric": 8,
    "log-batch, 1,000 metrics": 8,
    "create-run": 8,
    "runs/search, 100 runs": 8,
    "trace of one span": 8,
    "artifact of 4 KiB, written": 8,
    "artifact of 4 KiB, read": 8,
    "artifact of 1 GiB, read": 1,
    "UI, first visit": 1,
    "memory, idle": 0,
}


def speed_in_short(found: dict[str, Any]) -> str:
    """The work that most people do, for the README."""
    machine = found["machine"]
    lines = ["| work | clients | unit | here | stock `mlflow server` | ratio |", "|---|---|---|---|---|---|"]
    for row in found["rows"]:
        if SHORT.get(row["work"]) == row["clients"]:
            figures = (f"{row[name]['median']:,.3g}" for name in ("ours", "stock"))
            cells = [row["work"], str(row["clients"] or ""), row["unit"], *figures, f"{row['ratio']:.2g} ×"]
            lines.append(f"| {' | '.join(cells)} |")
    where = (
        f"Here with TLS and a login, there without either, same release and PostgreSQL. {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {found['date']}; measured by `make bench`, all of it "
        "in [docs/speed.md](docs/speed.md)."
    )
    return "\n".join([*lines, "", where])


def speed(found: dict[str, Any]) -> str:
    """What `make bench` measured, and the machine that it was measured on."""
    machine = found["machine"]
    lines = ["| work | clients | unit | ours | stock | ratio | alone |", "|---|---|---|---|---|---|---|"]
    for row in found["rows"]:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:g} ×"
        figures = (_spread(row[name]) for name in ("ours", "stock"))
        cells = [row["work"], str(row["clients"] or ""), row["unit"], *figures, ratio, _spread(row["limit"])]
        lines.append(f"| {' | '.join(cells)} |")
    where = (
        f"Medians of {found['rounds']} rounds in turns, least and most in brackets; *alone* is nginx, PostgreSQL or "
        f"the disk without MLflow. MLflow {machine['mlflow']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['host']}, {found['date']}; kept in `bench/results.json`."
    )
    return "\n".join([*lines, "", where])


def scale(found: dict[str, Any]) -> str:
    """95th percentiles of requests as a site grows, and how the last relates to the first."""
    sizes, machine = found["sizes"], found["machine"]
    heads = [f"{size['runs']:,} runs, {size['metrics']:,} metric rows" for size in sizes]
    lines = [f"| p95 in ms, {found['clients']} clients | {' | '.join(heads)} | last : first |"]
    lines.append("|---|" + "---|" * (len(sizes) + 1))
    for name in found["p95_ms"][0]:
        values = [part[name] for part in found["p95_ms"]]
        cells = [f"{value:,.3g}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} | {values[-1] / values[0]:.2g} × |")
    where = (
        f"Up to {sizes[-1]['experiments']:,} experiments, {sizes[-1]['files']:,} files and a database of "
        f"{sizes[-1]['database_mib'] / 1024:.1f} GiB; the largest experiment holds a tenth of all runs, an ordinary "
        f"one 90. Medians of {found['rounds']} rounds. {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, a container with load, servers and database, {found['date']}; measured by "
        "`make bench-scale`, kept in `docs/results/scale.json`."
    )
    return "\n".join([*lines, "", where])


def artifacts(found: dict[str, Any]) -> str:
    """What the parts of a small artifact's way through nginx cost."""
    machine, rates = found["machine"], found["rates"]
    names = list(next(iter(rates.values())))
    lines = [f"| requests/s, {found['clients']} clients | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for words, measured in rates.items():
        lines.append(f"| {words} | {' | '.join(f'{median(measured[name]):,.3g}' for name in names)} |")
    where = (
        f"Medians of {found['rounds']} rounds in turns. {machine['processor']}, {machine['cores']} cores, which load "
        f"and servers share, {found['date']}; measured by `make bench-artifacts`, kept in "
        "`docs/results/artifacts.json`."
    )
    return "\n".join([*lines, "", where])


def settings(found: dict[str, Any]) -> str:
    """What each of the role's PostgreSQL settings is worth: rates with all of them, and what is left without one."""
    installed, *others = found["settings"].items()
    names = list(installed[1])
    lines = [f"| instead of what is installed | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    rates = {name: median(installed[1][name]) for name in names}
    lines.append(f"| nothing | {' | '.join(f'{rates[name]:,.3g}/s' for name in names)} |")
    for words, measured in others:
        lines.append(f"| {words} | {' | '.join(f'{median(measured[name]) / rates[name]:.0%}' for name in names)} |")
    machine = found["machine"]
    where = (
        f"Medians of {found['rounds']} rounds in turns, {found['clients']} clients, on the largest site below. "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {found['date']}; measured by "
        "`make bench-scale`, kept in `docs/results/postgres.json`."
    )
    return "\n".join([*lines, "", where])


def pressure(found: dict[str, Any]) -> str:
    """What happens to small requests beside big uploads, and to the server under too much load."""
    machine, much = found["machine"], found["overload"]
    memory, share = much["memory_mib"], 100 * much["refused"] / (much["answered"] + much["refused"])
    rows = [
        *(
            (
                f"log-metric, {calm['clients']} clients, 95th percentile: nothing else; beside {calm['uploads']} "
                f"uploads of 1 GiB at the same time, {_speed(calm['mib_per_second'])}",
                f"{calm['p95_ms']:.3g}; {calm['p95_ms_beside_uploads']:.3g} ms ({calm['ratio']:.2g} ×)",
            )
            for calm in found["uploads"]
        ),
        (
            f"{much['connections']:,} connections that ask as fast as they can for {much['seconds']} s",
            f"{much['answered']:,} answered, {much['refused']:,} told to come back ({share:.0f} %), "
            f"{much['broken']} without an answer",
        ),
        (
            "memory of MLflow's processes: before; most during it; after",
            f"{memory['before']:.0f}; {memory['most']:.0f}; {memory['after']:.0f} MiB; {much['restarts']} restarts",
        ),
        ("until a request takes as long as before again", f"{much['recovery_seconds']:.1f} s"),
    ]
    where = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, a container with load, "
        f"servers and database, {found['date']}; measured by `make bench-pressure`, kept in "
        "`docs/results/pressure.json`."
    )
    lines = [f"| {what} | {figure} |" for what, figure in rows]
    return "\n".join(["| what | figure |", "|---|---|", *lines, "", where])


def _speed(mib_per_second: int) -> str:
    if mib_per_second > 1000:
        return "from the host itself, as fast as they come"
    return f"{mib_per_second} MiB/s each"


def _spread(figure: dict[str, float] | None) -> str:
    if figure is None:
        return ""
    median, least, most = (f"{figure[name]:,.4g}" for name in ("median", "min", "max"))
    return median if least == most else f"{median} ({least}–{most})"
