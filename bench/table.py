"""The committed results as tables in README.md and docs."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

# The rows of the README, and their number of clients.
FIGURES = {"log-metric": 8, "artifact of 4 KiB, read": 8, "memory, idle": 0}
# The rows of docs/results/README.md.
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


def markdown(heads: list[str], rows: Iterable[Iterable[str]], note: str = "") -> str:
    """A table in Markdown, and the text below it."""
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    lines.insert(1, "|" + "---|" * len(heads))
    return "\n".join([*lines, "", note] if note else lines)


def figures(measured: dict[str, Any], provisioned: dict[str, Any], recovered: dict[str, Any]) -> str:
    """The five lines of the README.

    Args:
        measured: by ``make bench``.
        provisioned: by ``bench.provisioning``.
        recovered: by ``bench.recovery``.
    """
    restore = recovered["restore"]
    rows = [
        ["from a bare host to the first logged run", f"{provisioned['provisioning_to_logged_run_seconds']} s", ""],
        *(
            [
                f"{row['work']}, {row['clients']} clients" if row["clients"] else row["work"],
                *(f"{_rounded(row[name]['median'], 3)} {row['unit']}" for name in ("ours", "stock")),
            ]
            for row in measured["rows"]
            if FIGURES.get(row["work"]) == row["clients"]
        ),
        [
            f"restore onto a bare host, with installing everything: {restore['bytes'] / 1e9:.1f} GB, "
            f"{restore['files']:,} files",
            f"{restore['with_provisioning_seconds']} s, {restore['lost']} lost",
            "",
        ],
    ]
    return markdown(
        ["what", "this project", "stock `mlflow server`"],
        rows,
        "Memory and requests: this project with TLS and a login, stock without either, same release and PostgreSQL; "
        f"{host(measured)}, {measured['date']}. More: [speed](docs/speed.md), "
        "[all results and their machines](docs/results/README.md).",
    )


def speed_in_short(found: dict[str, Any]) -> str:
    """The most common requests."""
    rows = [
        [
            row["work"],
            str(row["clients"] or ""),
            row["unit"],
            *(_rounded(row[name]["median"], 3) for name in ("ours", "stock")),
            f"{row['ratio']:.2g} ×",
        ]
        for row in found["rows"]
        if SHORT.get(row["work"]) == row["clients"]
    ]
    return markdown(
        ["work", "clients", "unit", "here", "stock `mlflow server`", "ratio"],
        rows,
        f"Here with TLS and a login, there without either, same release and PostgreSQL. {host(found)}, "
        f"{found['date']}; measured by `make bench`, all of it in [speed.md](../speed.md).",
    )


def speed(found: dict[str, Any]) -> str:
    """What `make bench` measured, and the machine that it was measured on."""
    rows = [
        [
            row["work"],
            str(row["clients"] or ""),
            row["unit"],
            *(_spread(row[name]) for name in ("ours", "stock")),
            "" if row["ratio"] is None else f"{row['ratio']:g} ×",
            _spread(row["limit"]),
        ]
        for row in found["rows"]
    ]
    return markdown(
        ["work", "clients", "unit", "ours", "stock", "ratio", "alone"],
        rows,
        f"Medians of {found['rounds']} rounds in turns, least and most in brackets; *alone* is nginx, PostgreSQL or "
        f"the disk without MLflow. MLflow {found['machine']['mlflow']}, {host(found)}, {found['machine']['host']}, "
        f"{found['date']}; kept in `bench/results.json`.",
    )


def scale(found: dict[str, Any]) -> str:
    """95th percentiles of requests as a site grows, and how the last relates to the first."""
    sizes = found["sizes"]
    heads = [f"{size['runs']:,} runs, {size['metrics']:,} metric rows" for size in sizes]
    rows = []
    for name in found["p95_ms"][0]:
        values = [part[name] for part in found["p95_ms"]]
        rows.append([name, *(_rounded(value, 3) for value in values), f"{values[-1] / values[0]:.2g} ×"])
    return markdown(
        [f"p95 in ms, {found['clients']} clients", *heads, "last : first"],
        rows,
        f"Up to {sizes[-1]['experiments']:,} experiments, {sizes[-1]['files']:,} files and a database of "
        f"{sizes[-1]['database_mib'] / 1024:.1f} GiB; the largest experiment holds a tenth of all runs, an ordinary "
        f"one 90. Medians of {found['rounds']} rounds. {host(found)}, a container with load, servers and database, "
        f"{found['date']}; measured by `make bench-scale`, kept in `docs/results/scale.json`.",
    )


def artifacts(found: dict[str, Any]) -> str:
    """The cost of each step of a small artifact's request in nginx."""
    rates = found["rates"]
    names = list(next(iter(rates.values())))
    return markdown(
        [f"requests/s, {found['clients']} clients", *names],
        ([words, *(_rounded(median(measured[name]), 3) for name in names)] for words, measured in rates.items()),
        f"Medians of {found['rounds']} rounds in turns. {host(found)}, which load and servers share, "
        f"{found['date']}; measured by `make bench-artifacts`, kept in `docs/results/artifacts.json`.",
    )


def settings(found: dict[str, Any]) -> str:
    """The effect of each of the role's PostgreSQL settings where all of the database fits into memory."""
    return _shares(found, "all of the database in memory")


def settings_disk(found: dict[str, Any]) -> str:
    """Their effect where a part of it does."""
    size = found["database_mib"] / 1024
    return _shares(found, f"the host left with {found['left_gib']} GiB for itself and a database of {size:.1f} GiB")


def _shares(found: dict[str, Any], where: str) -> str:
    """Rates with the installed settings, and the share of them with others."""
    installed, *others = found["settings"].items()
    rates = {name: median(measured) for name, measured in installed[1].items()}
    rows = [["nothing", *(f"{_rounded(rate, 3)}/s" for rate in rates.values())]]
    for words, measured in others:
        rows.append([words, *(f"{median(measured[name]) / rates[name]:.0%}" for name in rates)])
    return markdown(
        ["instead of what is installed", *rates],
        rows,
        f"Medians of {found['rounds']} rounds in turns, {found['clients']} clients, {where}. {host(found)}, "
        f"{found['date']}; measured by `make bench-scale`, kept in `docs/results/`.",
    )


def application(found: dict[str, Any]) -> str:
    """Rates and memory of MLflow's processes as installed, and without some settings."""
    names = list(next(iter(found["settings"].values())))
    return markdown(
        [f"requests/s, {found['clients']} clients", *names],
        (
            [words, *(_rounded(median(measured[name]), 3) for name in names)]
            for words, measured in found["settings"].items()
        ),
        f"Medians of {found['rounds']} rounds in turns, the memory of MLflow's processes right after. {host(found)}, "
        f"which load, servers and database share, {found['date']}; measured by `make bench-application`, kept in "
        "`docs/results/application.json`.",
    )


def provisioning(found: dict[str, Any]) -> str:
    """How long it takes to a logged run, and what the server needs idle."""
    memory, exposure = found["idle_pss_mib"], found["systemd_exposure"]
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
    return markdown(
        ["what", "figure"],
        rows,
        f"{host(found)}, a container as host, "
        f"packages in the cache, {found['date']}; measured by `python -m bench.provisioning`, kept in "
        "`docs/results/provisioning.json`.",
    )


def recovery(found: dict[str, Any]) -> str:
    """The times of recovery points, and the machine that they were measured on."""
    growth, latency, restore = found["growth"], found["latency"], found["restore"]
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
    return markdown(
        ["what", "figure"],
        rows,
        f"{host(found)}, a container as host, "
        f"{found['date']}; measured by `python -m bench.recovery`, kept in `docs/results/recovery.json`.",
    )


def access(found: dict[str, Any]) -> str:
    """What a login costs, and the machine that it was measured on."""
    cost = found["with_login_to_without"]
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
    return markdown(
        ["what", "figure"],
        rows,
        f"{host(found)}, medians of {found['rounds']} rounds, one connection that "
        f"stays open, {found['date']}; measured by `python -m bench.access`, kept in `docs/results/access.json`.",
    )


def _rounded(value: float, digits: int) -> str:
    """So many digits, but all of those before the point."""
    return f"{value:,.0f}" if value >= 10**digits else f"{value:,.{digits}g}"


def host(found: dict[str, Any]) -> str:
    """The machine that something was measured on."""
    machine = found["machine"]
    return f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"


def _spread(figure: dict[str, float] | None) -> str:
    if figure is None:
        return ""
    median, least, most = (_rounded(figure[name], 4) for name in ("median", "min", "max"))
    return median if least == most else f"{median} ({least}–{most})"


def _seconds(values: Iterable[float]) -> str:
    return " / ".join(f"{value:.0f}" for value in values) + " s"
