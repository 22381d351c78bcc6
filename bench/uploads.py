"""Small requests beside uploads of 1 GiB, these beside searches, and what the disk alone makes of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from bench import data
from bench.load import FOLDER, Request, cpu_ticks, load, settle
from bench.servers import BARE, OURS, on_host
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
# On the host: uploads of 1 GiB, one after the other, each to a name of its own as runs do, for as long as the
# mark is there; a line for each. To be filled in: rate (MiB/s), login, file, url, mark.
UPLOAD = (
    "i=0; while [ -e {mark} ]; do i=$((i + 1)); "
    "curl --limit-rate {rate}M --silent --show-error --fail --insecure --http1.1 "
    "--output /dev/null --header '{login}' --upload-file {file} {url}-$i || exit 1; echo; done"
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


def beside() -> Iterator[dict[str, Any]]:
    """From networks; as fast as they come to a disk of their own, and to the database's."""
    for network in NETWORKS:
        yield {"volume_of_its_own": False} | _metrics_beside(network)
    with _volume_in_memory():
        yield {"volume_of_its_own": True} | _metrics_beside(UNLIMITED)
    yield {"volume_of_its_own": False} | _metrics_beside(UNLIMITED)


def _metrics_beside(mib_per_second: int) -> dict[str, Any]:
    """Log-metric alone and beside eight uploads of 1 GiB, in turns: ms that it takes, and % of the processors' time.

    Raises:
        SystemExit: an upload failed.
    """
    mark, login = f"{FOLDER}/uploading", f"Authorization: {OURS.headers['Authorization']}"
    calm, busy, rates = [], [], []
    _only_idle_processors()
    load(OURS, METRIC, CLIENTS, 1)  # caches and connections are warm
    for _ in range(TURNS):
        calm.append(_times(SECONDS))
        on_host("touch", mark)
        began = time.monotonic()
        with ThreadPoolExecutor(UPLOADS) as pool:
            uploads = []
            for number in range(UPLOADS):
                url = f"{OURS.url}{OURS.artifacts}/pressure/{number}"
                command = UPLOAD.format(
                    mark=mark, login=login, rate=mib_per_second, file=f"{BARE.store}/read/big", url=url
                )
                uploads.append(pool.submit(on_host, "sh", "-c", command))
            time.sleep(1)
            try:
                busy.append(_times(SECONDS, calm=False))
            finally:
                on_host("rm", mark)
        rates.append(1024 * sum(len(upload.result()) for upload in uploads) / (time.monotonic() - began))
        on_host("sh", "-c", f"rm -rf {OURS.store}/pressure; sync")
    alone, together = (
        {"p95": median(took.p95 for took in found), "longest": max(took.longest for took in found)}
        for found in (calm, busy)
    )
    ratios = [after.p95 / before.p95 for before, after in zip(calm, busy, strict=True)]
    return {
        "clients": CLIENTS,
        "uploads": UPLOADS,
        "mib_per_second": mib_per_second,
        "mib_per_second_together": round(median(rates)),
        "rounds": TURNS,
        "seconds": SECONDS,
        "ms": {name: round(value, 2) for name, value in alone.items()},
        "ms_beside_uploads": {name: round(value, 2) for name, value in together.items()},
        "processors_percent": round(median(took.processors for took in calm)),
        "processors_percent_beside_uploads": round(median(took.processors for took in busy)),
        "ratio": round(together["p95"] / alone["p95"], 2),
        "ratios_of_single_rounds": [round(ratio, 2) for ratio in ratios],
    }


@dataclass(frozen=True)
class Took:
    """What requests took, and the machine with them.

    Attributes:
        p95: 95th percentile of the requests that were sent, in ms. That of wrk itself also counts requests
            that it would have sent, had it not had to wait for an answer.
        longest: in ms.
        processors: % of all processors' time in which they did anything.
    """

    p95: float
    longest: float
    processors: float


def _times(seconds: int, *, calm: bool = True) -> Took:
    """Ask for so many seconds; if ``calm``, only once the machine does nothing else."""
    if calm:
        settle()
    began = cpu_ticks()
    load(OURS, METRIC, CLIENTS, seconds, calm=False)
    idle, total = (after - before for after, before in zip(cpu_ticks(), began, strict=True))
    answers = on_host("sh", "-c", f"cat {FOLDER}/took.*").split()
    times = sorted(1000 * float(answer) for answer in answers)
    return Took(p95=quantiles(times, n=20)[18], longest=times[-1], processors=100 * (1 - idle / total))


def _only_idle_processors() -> None:
    """Say for systemd that the second nginx gets what is left of the processors: it tells cgroup v2 alone."""
    found = "find /sys/fs/cgroup/cpu -path '*/mlflow-uploads.service/cpu.idle' 2>/dev/null || true"
    for path in on_host("sh", "-c", found).split():
        on_host("tee", path, said="1")


@contextmanager
def _volume_in_memory() -> Iterator[None]:
    """The artifact volume on a disk that is not the database's: the host's memory stands in for it."""
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
    """95th percentile (ms) of what the disk needs for a commit, alone and beside plain programs that write files."""
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
