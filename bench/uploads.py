"""Small requests beside uploads of 1 GiB, uploads beside searches, and the disk alone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from bench import data
from bench.load import FOLDER, Request, cpu_ticks, load, settle
from bench.servers import BARE, HOST, OURS, on_host
from bench.works import gibibyte

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
# Single rounds beside uploads differ by a factor of two, and medians of five still by a third.
TURNS = 3 * ROUNDS
SECONDS = int(os.environ.get("BENCH_SECONDS", "8"))
CLIENTS = 8
UPLOADS = 8
METRIC = Request("POST", f"{data.API}/runs/log-metric", "metric", "runs", script="latencies.lua")
SEARCH = Request("POST", f"{data.API}/runs/search", "runs-search")
# MiB/s of each: networks of 1 and 2.5 Gbit/s, and more than this host sends to itself.
NETWORKS, UNLIMITED = (117 // UPLOADS, 297 // UPLOADS), 4000
# On the host, as a service: uploads of 1 GiB, one after the other, each to a name of its own as runs do. A dollar
# is doubled for systemd. Placeholders: rate (MiB/s), login, file, url.
UPLOAD = (
    "i=0; while i=$$((i + 1)); do "
    "curl --limit-rate {rate}M --silent --show-error --fail --insecure --http1.1 "
    "--output /dev/null --header '{login}' --upload-file {file} {url}-$$i || exit 1; done"
)
VOLUME = "/var/lib/mlflow/artifacts"
UNITS = ("mlflow.service", "mlflow.socket", "nginx.service", "mlflow-uploads.service")
# For the uploads of one round, and the files that the bench reads.
MEMORY_GIB = 14
# What the database does at each commit, and eight programs that write as uploads do.
WORKS = {
    "commit": "--rw=write --bs=8k --size=16m --fdatasync=1",
    "uploads": f"--rw=write --bs=128k --size=1g --numjobs={UPLOADS}",
}


def beside(clients: int) -> list[dict[str, Any]]:
    """Uploads at the rate of networks; at full speed to a separate disk, and to the database's."""
    found = [{"volume_of_its_own": False} | _metrics_beside(network, clients) for network in NETWORKS]
    with _volume_in_memory():
        found.append({"volume_of_its_own": True} | _metrics_beside(UNLIMITED, clients))
    return [*found, {"volume_of_its_own": False} | _metrics_beside(UNLIMITED, clients)]


def _metrics_beside(mib_per_second: int, clients: int) -> dict[str, Any]:
    """Log-metric alone and beside eight uploads of 1 GiB.

    Raises:
        SystemExit: an upload failed.
    """
    rates: list[float] = []
    _only_idle_processors("mlflow-uploads.service")
    found = _in_turns(clients, lambda: _uploading(mib_per_second, rates))
    print(found, flush=True)
    return {
        "uploads": UPLOADS,
        "mib_per_second": mib_per_second,
        "mib_per_second_together": round(median(rates)),
    } | found


def beside_computing() -> dict[str, Any]:
    """Log-metric of one client, alone and beside one program that computes at idle priority.

    Shows whether programs of idle priority, as the second nginx and curl here, delay others by themselves.
    """
    return _in_turns(1, _computing)


def _in_turns(clients: int, beside: Callable[[], AbstractContextManager[None]]) -> dict[str, Any]:
    """Log-metric alone and beside something else, in turns: ms that it takes, and % of the processors' time."""
    calm, busy = [], []
    load(OURS, METRIC, clients, 1)  # caches and connections are warm
    for _ in range(TURNS):
        calm.append(_times(clients))
        with beside():
            time.sleep(1)
            busy.append(_times(clients, calm=False))
    alone, together = (
        {"p95": median(took.p95 for took in found), "longest": max(took.longest for took in found)}
        for found in (calm, busy)
    )
    ratios = [after.p95 / before.p95 for before, after in zip(calm, busy, strict=True)]
    return {
        "clients": clients,
        "rounds": TURNS,
        "seconds": SECONDS,
        "ms": {name: round(value, 2) for name, value in alone.items()},
        "ms_beside": {name: round(value, 2) for name, value in together.items()},
        "processors_percent": round(median(took.processors for took in calm)),
        "processors_percent_beside": round(median(took.processors for took in busy)),
        "ratio": round(together["p95"] / alone["p95"], 2),
        "ratios_of_single_rounds": [round(ratio, 2) for ratio in ratios],
    }


@contextmanager
def _uploading(mib_per_second: int, rates: list[float]) -> Iterator[None]:
    """Eight concurrent uploads of 1 GiB; afterwards their total rate (MiB/s) is in ``rates``.

    Real clients are on other machines, and take no processor from the server. Here they have idle priority;
    at normal priority their own load would be measured.

    Raises:
        SystemExit: an upload failed.
    """
    login = f"Authorization: {OURS.headers['Authorization']}"
    units = "bench-upload-*.service"
    try:
        for number in range(UPLOADS):
            url = f"{OURS.url}{OURS.artifacts}/pressure/{number}"
            command = UPLOAD.format(rate=mib_per_second, login=login, file=f"{BARE.store}/read/big", url=url)
            _idle_service(units.replace("*", str(number)), command)
        came, began = _received(), time.monotonic()
        yield
        rates.append((_received() - came) / 1024**2 / (time.monotonic() - began))
        if broken := on_host("systemctl", "list-units", "--state=failed", "--plain", "--no-legend", units).strip():
            raise SystemExit(f"an upload failed, see `docker exec {HOST} journalctl`: {broken}")
    finally:
        on_host("systemctl", "stop", units)
        on_host("systemctl", "reset-failed", units)
        on_host("sh", "-c", f"rm -rf {OURS.store}/pressure; sync")


def _received() -> int:
    """Bytes that the host sent to itself, from proc(5)."""
    return int(on_host("cat", "/proc/net/dev").split("lo:")[1].split()[0])


@contextmanager
def _computing() -> Iterator[None]:
    """A program that only computes, at idle priority, as the second nginx has."""
    unit = "bench-computing.service"
    _idle_service(unit, "while :; do :; done")
    try:
        yield
    finally:
        on_host("systemctl", "stop", unit)


def _idle_service(unit: str, command: str) -> None:
    """Start a service of idle priority."""
    on_host("systemd-run", "--quiet", "--property=CPUWeight=idle", f"--unit={unit}", "sh", "-c", command)
    _only_idle_processors(unit)


@dataclass(frozen=True)
class Took:
    """Latency of requests, and the load of the machine.

    Attributes:
        p95: 95th percentile of the requests that were sent, in ms. That of wrk itself also counts requests
            that it would have sent, had it not had to wait for an answer.
        longest: in ms.
        processors: % of all processors' time in which they did anything.
    """

    p95: float
    longest: float
    processors: float


def _times(clients: int, *, calm: bool = True) -> Took:
    """Ask for ``SECONDS``; if ``calm``, only once the machine does nothing else."""
    if calm:
        settle()
    # The works with more clients, before this, have created more.
    on_host("sh", "-c", f"rm -f {FOLDER}/took.*")
    began = cpu_ticks()
    load(OURS, METRIC, clients, SECONDS, calm=False)
    idle, total = (after - before for after, before in zip(cpu_ticks(), began, strict=True))
    answers = on_host("sh", "-c", f"cat {FOLDER}/took.*").split()
    times = sorted(1000 * float(answer) for answer in answers)
    return Took(p95=quantiles(times, n=20)[18], longest=times[-1], processors=100 * (1 - idle / total))


def _only_idle_processors(unit: str) -> None:
    """Set idle priority for a service: systemd does it for cgroup v2 only."""
    found = f"find /sys/fs/cgroup/cpu -path '*/{unit}/cpu.idle' 2>/dev/null || true"
    for path in on_host("sh", "-c", found).split():
        on_host("tee", path, stdin="1")


@contextmanager
def _volume_in_memory() -> Iterator[None]:
    """The artifact volume on a disk other than the database's, for which tmpfs is used."""
    on_host("systemctl", "stop", *UNITS)
    on_host("sh", "-c", f"cp -a {VOLUME} {VOLUME}.copy")
    on_host("mount", "-t", "tmpfs", "-o", f"size={MEMORY_GIB}g", "tmpfs", VOLUME)
    try:
        on_host("sh", "-c", f"cp -a {VOLUME}.copy/. {VOLUME} && rm -rf {VOLUME}.copy")
        on_host("systemctl", "start", *UNITS)
        yield
    finally:
        on_host("systemctl", "stop", *UNITS)
        on_host("umount", VOLUME)
        on_host("systemctl", "start", *UNITS)


def while_searching() -> dict[str, Any]:
    """Seconds of one upload of 1 GiB, alone and while searches take all processors, in turns."""
    alone, searching = [], []
    upload = gibibyte("PUT")
    for _ in range(ROUNDS):
        settle()
        alone.append(1024 / upload(OURS))
        with ThreadPoolExecutor(1) as pool:
            searches = pool.submit(load, OURS, SEARCH, CLIENTS, 4 * SECONDS)
            time.sleep(SECONDS)
            searching.append(1024 / upload(OURS))
            if searches.done():
                raise SystemExit("the searches ended before the upload did: BENCH_SECONDS is too short")
            searches.result()
    return {
        "clients": CLIENTS,
        "rounds": ROUNDS,
        "seconds": round(median(alone), 2),
        "seconds_beside_searches": round(median(searching), 2),
    }


def disk() -> dict[str, Any]:
    """95th percentile (ms) of a commit on the disk, alone and beside plain programs that write files."""
    on_host("sh", "-c", "command -v fio >/dev/null || apt-get install --yes --quiet --no-install-recommends fio")
    found: dict[str, list[float]] = {"commit": [], "commit uploads": []}
    folder = "/var/lib/mlflow/fio"
    for _ in range(ROUNDS):
        for names, times in found.items():
            settle()
            works = " ".join(f"--name={name} {WORKS[name]}" for name in names.split())
            command = f"mkdir -p {folder} && fio --output-format=json --directory={folder} --ioengine=psync "
            command += f"--time_based --runtime={SECONDS} {works}"
            jobs = json.loads(on_host("sh", "-c", f"{command}; rm -rf {folder}; sync"))["jobs"]
            times.append(jobs[0]["sync"]["lat_ns"]["percentile"]["95.000000"] / 1_000_000)
    alone, writing = (round(median(times), 2) for times in found.values())
    return {"writers": UPLOADS, "rounds": ROUNDS, "p95_ms": alone, "p95_ms_beside_writers": writing}
