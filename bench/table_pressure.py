"""The committed result of `make bench-pressure` as a table in docs/speed.md."""

from __future__ import annotations

from typing import Any

from bench.table import host, markdown


def pressure(found: dict[str, Any]) -> str:
    """Small requests beside large uploads, and the overloaded server."""
    much, upload, disk = found["overload"], found["upload"], found["disk"]
    memory, share = much["memory_mib"], 100 * much["refused"] / (much["answered"] + much["refused"])
    rows = [
        *(
            _beside(part, f"{part['uploads']} uploads of 1 GiB at the same time, {_speed(part)}")
            for part in (*found["uploads"], *found["uploads_one_client"])
        ),
        _beside(found["computing"], "one program that only computes, while nobody else wants the processor"),
        (
            f"one upload of 1 GiB: nothing else; while {upload['clients']} clients search for 100 runs at a time",
            f"{upload['seconds']:.2g}; {upload['seconds_beside_searches']:.2g} s",
        ),
        (
            "what this disk needs for a commit of 8 KiB (fdatasync), 95th percentile: nothing else; beside "
            f"{disk['writers']} plain programs that write to it, without MLflow or nginx",
            f"{disk['p95_ms']:.2g}; {disk['p95_ms_beside_writers']:.3g} ms",
        ),
        (
            f"{much['connections']:,} connections that ask as fast as they can for {much['seconds']} s",
            f"{much['answered']:,} answered, {much['refused']:,} refused with Retry-After ({share:.0f} %), "
            f"{much['broken']} without an answer",
        ),
        (
            "memory of MLflow's processes: before; most during it; after",
            f"{memory['before']:.0f}; {memory['most']:.0f}; {memory['after']:.0f} MiB; {much['restarts']} restarts",
        ),
        ("until a request takes as long as before again", f"{much['recovery_seconds']:.1f} s"),
    ]
    return markdown(
        ["what", "figure"],
        rows,
        f"{host(found)}, a container with load, servers and database, {found['date']}; measured by "
        "`make bench-pressure`, kept in `docs/results/pressure.json`.",
    )


def _speed(part: dict[str, Any]) -> str:
    if part["mib_per_second"] <= 1000:
        return f"{part['mib_per_second']} MiB/s each ({part['mib_per_second_together']} together)"
    disk = "a disk that the database does not use (memory)" if part["volume_of_its_own"] else "the disk of the database"
    speed = f"from the host itself, as fast as they come ({part['mib_per_second_together']} MiB/s together)"
    return f"{speed}, to {disk}"


def _beside(part: dict[str, Any], other: str) -> tuple[str, str]:
    """Latency of small requests alone and beside other load."""
    ratios = part["ratios_of_single_rounds"]
    clients = "1 client" if part["clients"] == 1 else f"{part['clients']} clients"
    return (
        f"log-metric, {clients}, 95th percentile: nothing else; beside {other}",
        f"{part['ms']['p95']:.3g}; {part['ms_beside']['p95']:.3g} ms ({part['ratio']:.3g} ×, "
        f"{part['rounds']} single rounds {min(ratios):.3g} to {max(ratios):.3g} ×); "
        f"processors {part['processors_percent']}; {part['processors_percent_beside']} % busy",
    )
