"""What `make bench` writes, without measuring."""

from __future__ import annotations

from typing import Any

import pytest

from bench.__main__ import entry, say
from bench.table import FIGURES, SHORT, artifacts, figures, scale, settings, settings_disk, speed, speed_in_short
from bench.table_pressure import pressure
from bench.works import works

MACHINE = {"mlflow": "3", "processor": "P", "cores": 2, "memory_gib": 4, "host": "a container"}


def test_a_row_holds_medians_and_their_ratio() -> None:
    """With minimum and maximum; a server that was not measured is null."""
    row = entry("log-metric", 8, "requests/s", "higher", {"ours": [300.0, 100.0, 200.0], "stock": [50.0]})
    assert row == {
        "work": "log-metric",
        "clients": 8,
        "unit": "requests/s",
        "better": "higher",
        "ours": {"median": 200.0, "min": 100.0, "max": 300.0},
        "stock": {"median": 50.0, "min": 50.0, "max": 50.0},
        "limit": None,
        "ratio": 4.0,
    }


@pytest.mark.parametrize(
    ("better", "goal", "missed"), [("higher", 3, False), ("higher", 5, True), ("lower", 5, False), ("lower", 3, True)]
)
def test_a_missed_goal_is_reported(capsys: pytest.CaptureFixture[str], better: str, goal: float, missed: bool) -> None:
    """Less than the goal, or more where less is better."""
    row = entry("work", 1, "s", better, {"ours": [4.0], "stock": [1.0]})
    say(row | {"goal": goal, "limit_goal": None})
    assert (f"goal {goal}" in capsys.readouterr().out) is missed


def test_the_table_shows_what_was_measured() -> None:
    """Figures with their spread, nothing where nothing was measured, and the machine."""
    row = entry("log-metric", 8, "requests/s", "higher", {"ours": [300.0, 100.0, 200.0], "limit": [1500.0]})
    text = speed({"machine": MACHINE, "date": "2026-11-21", "rounds": 3, "rows": [row]})
    assert "| log-metric | 8 | requests/s | 200 (100–300) |  |  | 1,500 |" in text
    assert "2 cores, 4 GiB, a container, 2026-11-21" in text


def test_every_goal_can_be_judged() -> None:
    """A goal needs both of the servers that it compares."""
    for work in works():
        names = {server.name for server in work.on}
        assert work.goal is None or {"ours", "stock"} <= names, work.work
        assert work.limit_goal is None or {"ours", "limit"} <= names, work.work


def test_growth_is_reported_by_first_and_last_value() -> None:
    """Each request's percentile at every size, and the ratio of the last to the first."""
    sizes = [
        {"experiments": n, "runs": 100 * n, "metrics": 2000 * n, "files": 20 * n, "database_mib": n}
        for n in (100, 2048)
    ]
    found = {"sizes": sizes, "p95_ms": [{"runs/get": 10.0}, {"runs/get": 25.0}], "clients": 8, "rounds": 5}
    text = scale(found | {"machine": MACHINE, "date": "2026-11-21"})
    assert "| p95 in ms, 8 clients | 10,000 runs, 200,000 metric rows | 204,800 runs, 4,096,000 metric rows |" in text
    assert "| runs/get | 10 | 25 | 2.5 × |" in text
    assert "2.0 GiB" in text


def test_a_setting_is_reported_by_the_loss_without_it() -> None:
    """Medians as shares of those with the installed settings."""
    measured = {"as installed": {"log-metric": [400.0, 500.0, 300.0]}, "`jit` on": {"log-metric": [100.0, 120.0, 90.0]}}
    found = {"settings": measured, "rounds": 3, "clients": 8, "machine": MACHINE, "date": "2026-11-21"}
    text = settings(found)
    assert "| nothing | 400/s |" in text
    assert "| `jit` on | 25% |" in text
    assert "all of the database in memory" in text
    text = settings_disk(found | {"left_gib": 4, "database_mib": 11776})
    assert "| `jit` on | 25% |" in text
    assert "left with 4 GiB for itself and a database of 11.5 GiB" in text


def test_the_steps_of_a_request_are_reported_by_the_gain_without_them() -> None:
    """Medians by configuration."""
    rates = {"as installed": {"4 KiB read": [3.0, 1.0, 2.0]}, "nginx alone": {"4 KiB read": [40.0]}}
    text = artifacts({"rates": rates, "rounds": 3, "clients": 8, "machine": MACHINE, "date": "2026-11-21"})
    assert "| as installed | 2 |" in text
    assert "| nginx alone | 40 |" in text


def test_uploads_are_reported_by_speed_and_disk() -> None:
    """So that readers find their own case: a network's speed, or the disk that is written at full speed."""
    part: dict[str, Any] = {"clients": 8, "uploads": 8, "mib_per_second": 14, "volume_of_its_own": False, "ratio": 1.5}
    part |= {"mib_per_second_together": 700, "ms": {"p95": 10.0}, "ms_beside": {"p95": 15.0}}
    part |= {"processors_percent": 90, "processors_percent_beside": 100}
    part |= {"rounds": 3, "ratios_of_single_rounds": [1.5, 1.9, 1.2]}
    fast = part | {"mib_per_second": 4000}
    memory = {"before": 300, "most": 310, "after": 310}
    much = {"connections": 4000, "seconds": 60, "answered": 1, "refused": 3, "broken": 0, "memory_mib": memory}
    found = {
        "uploads": [part, fast, fast | {"volume_of_its_own": True}],
        "uploads_one_client": [part | {"clients": 1, "ms": {"p95": 2.0}}],
        "computing": part | {"clients": 1, "ms": {"p95": 1.0}},
        "upload": {"clients": 8, "seconds": 1.5, "seconds_beside_searches": 6.0},
        "disk": {"writers": 8, "p95_ms": 0.1, "p95_ms_beside_writers": 200.0},
        "overload": much | {"restarts": 0, "recovery_seconds": 0.1},
    }
    text = pressure(found | {"machine": MACHINE, "date": "2026-01-01"})
    assert (
        "14 MiB/s each (700 together) | 10; 15 ms (1.5 ×, 3 single rounds 1.2 to 1.9 ×); processors 90; 100 % busy |"
        in text
    )
    assert (
        "1 client, 95th percentile: nothing else; beside 8 uploads of 1 GiB at the same time, 14 MiB/s each (700 together) | 2; 15 ms"
        in text
    )
    assert (
        "1 client, 95th percentile: nothing else; beside one program that only computes, while nobody else wants"
        in text
    )
    assert "(700 MiB/s together), to the disk of the database | 10; 15 ms (1.5 ×, 3 single" in text
    assert "(700 MiB/s together), to a disk that the database does not use (memory) | 10; 15 ms" in text
    assert "| 1.5; 6 s |" in text
    assert "refused with Retry-After (75 %)" in text


def test_the_overview_shows_the_most_common_requests() -> None:
    """The chosen rows, for the chosen number of clients."""
    rows = [
        entry("log-metric", clients, "requests/s", "higher", {"ours": [300.0], "stock": [200.0]}) for clients in (1, 8)
    ]
    text = speed_in_short({"machine": MACHINE, "date": "2026-11-21", "rounds": 3, "rows": rows})
    assert text.count("log-metric") == 1
    assert "| log-metric | 8 | requests/s | 300 | 200 | 1.5 × |" in text


def test_the_readme_shows_five_figures() -> None:
    """Of three measurements, for the chosen number of clients."""
    rows = [
        entry("memory, idle", 0, "MiB PSS", "lower", {"ours": [200.0], "stock": [2000.0]}),
        *(
            entry(work, clients, "requests/s", "higher", {"ours": [300.0], "stock": [200.0]})
            for work in ("log-metric", "artifact of 4 KiB, read", "create-run")
            for clients in (1, 8)
        ),
    ]
    restore = {"bytes": 1e9, "files": 20015, "with_provisioning_seconds": 140, "lost": 0}
    text = figures(
        {"machine": MACHINE, "date": "2026-11-21", "rounds": 3, "rows": rows},
        {"provisioning_to_logged_run_seconds": 105},
        {"restore": restore},
    )
    table, _, note = text.partition("\n\n")
    assert table.splitlines() == [
        "| what | this project | stock `mlflow server` |",
        "|---|---|---|",
        "| from a bare host to the first logged run | 105 s |  |",
        "| memory, idle | 200 MiB PSS | 2,000 MiB PSS |",
        "| log-metric, 8 clients | 300 requests/s | 200 requests/s |",
        "| artifact of 4 KiB, read, 8 clients | 300 requests/s | 200 requests/s |",
        "| restore onto a bare host, with installing everything: 1.0 GB, 20,015 files | 140 s, 0 lost |  |",
    ]
    assert "P, 2 cores, 4 GiB, 2026-11-21" in note


@pytest.mark.parametrize("shown", [SHORT, FIGURES], ids=["overview", "readme"])
def test_what_is_shown_is_measured(shown: dict[str, int]) -> None:
    """Each name and number of clients has a row."""
    measured = {(work.work, work.clients) for work in works()} | {("memory, idle", 0)}
    assert set(shown.items()) <= measured
