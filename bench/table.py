"""The committed result as a table in docs/speed.md."""

from __future__ import annotations

from typing import Any


def markdown(found: dict[str, Any]) -> str:
    """A Markdown table of a result, and the machine that it was measured on."""
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


def _spread(figure: dict[str, float] | None) -> str:
    if figure is None:
        return ""
    median, least, most = (f"{figure[name]:,.4g}" for name in ("median", "min", "max"))
    return median if least == most else f"{median} ({least}–{most})"
