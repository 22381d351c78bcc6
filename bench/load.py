"""Load on one server at a time, from the host itself, so that the network does not matter."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

from bench.servers import STOCK, Server, on_host

SCRIPT = (Path(__file__).parent / "wrk" / "requests.lua").read_text()
FOLDER = "/root/bench"
IDLE_SHARE = 0.9
# Microseconds, of which each measurement takes one second's for itself, and lasts
# longer: no counter meets another's, also not those of a later run. 16 digits,
# exact in Lua, whose numbers are doubles.
_seeds = itertools.count(int(time.time()) * 1_000_000, 1_000_000)


@dataclass(frozen=True)
class Request:
    """One kind of request; the placeholders are those of wrk/requests.lua.

    Attributes:
        path: with ``{artifacts}`` for where the server keeps artifacts.
        body: name of a file in the folder on the host, or ``-`` for none.
        runs: the same, of a list of runs.
        type: content type of the body.
        script: of wrk, which sends it; from the folder on the host.
    """

    method: str
    path: str
    body: str = "-"
    runs: str = "-"
    type: str = "application/json"
    script: str = "requests.lua"


@dataclass(frozen=True)
class Result:
    """What wrk has measured: requests per second, and the 95th percentile of the latency in seconds."""

    rate: float
    p95: float


def put(name: str, content: str) -> None:
    """Write a file to the folder on the host."""
    on_host("mkdir", "--parents", FOLDER)
    on_host("tee", f"{FOLDER}/{name}", stdin=content)


def settle() -> None:
    """Wait until the machine is idle: a server continues with requests whose clients have disconnected.

    Raises:
        SystemExit: it is still busy after two minutes.
    """
    for _ in range(240):
        before = cpu_ticks()
        time.sleep(0.5)
        idle, total = (after - then for after, then in zip(cpu_ticks(), before, strict=True))
        if idle > IDLE_SHARE * total:
            return
    raise SystemExit("the machine is busy with something else: measure when it is idle")


def cpu_ticks() -> tuple[int, int]:
    """Idle ones and all, of all cores, from proc(5)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def load(server: Server, request: Request, clients: int, seconds: int, *, calm: bool = True) -> Result:
    """Send one kind of request over so many connections; if ``calm``, only once the machine is idle.

    Raises:
        SystemExit: more than one request in a hundred failed; of stock MLflow's one in five, because
            it fails some concurrent searches (see mlflow_host.patches.speed.no_login). Those that failed
            do not count.
    """
    headers = server.headers | ({"Content-Type": request.type} if request.body != "-" else {})
    if request.type.endswith("protobuf"):
        headers |= {"x-mlflow-experiment-id": on_host("cat", f"{FOLDER}/{server.name}-experiment").strip()}
    threads = min(clients, 8)
    if calm:
        settle()
    answer = on_host(
        *("wrk", f"--threads={threads}", f"--connections={clients}", f"--duration={seconds}s", "--timeout=60s"),
        *("--script", f"{FOLDER}/{request.script}", server.url, "--", str(next(_seeds)), request.method),
        request.path.replace("{artifacts}", server.artifacts),
        *(here if here == "-" else f"{FOLDER}/{server.name}-{here}" for here in (request.body, request.runs)),
        *(f"{name}: {value}" for name, value in headers.items()),
    )
    requests, errors, took, p95 = answer.split("RESULT ")[1].split()
    if int(errors) > int(requests) / (5 if server is STOCK else 100):
        raise SystemExit(f"{server.name}: {errors} of {requests} failed: {request.method} {request.path}\n{answer}")
    return Result((int(requests) - int(errors)) / float(took), float(p95))


def long_enough(server: Server, request: Request, clients: int, seconds: int) -> int:
    """Seconds in which each client gets at least two answers; caches and connections are warm afterwards.

    Raises:
        SystemExit: two minutes are not enough.
    """
    while load(server, request, clients, seconds).rate * seconds < 2 * clients:
        seconds *= 2
        if seconds > 120:
            raise SystemExit(f"{server.name}: no answers in two minutes: {request.method} {request.path}")
    return seconds
