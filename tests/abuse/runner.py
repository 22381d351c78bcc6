"""Run attacks beside an honest client, and record the results of both."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

from bench.machine import machine
from tests.abuse import recovery, watch
from tests.abuse.found import Attack, Found
from tests.abuse.honest import Honest, percentiles
from tests.abuse.table import KINDS, Kind
from tests.abuse.target import Target

# Bytes of bodies that nginx may keep in a short run: only what fits into the limits.
OUTSIDE_MIB = 64
# Seconds for which the client is measured alone before and after an attack of a long run, and before a short run.
IDLE_SECONDS = 10
SHORT_IDLE_SECONDS = 3
# How much an attack may delay the honest client, as a factor of its latency alone.
TIMES_IDLE = 3
# Nice value of the attackers in a short run, beside which other tests may use the machine.
NICER = 10


def attack(kind: Kind, given: Attack) -> None:
    """The attack itself, in a thread of its own."""
    # A real attacker has another machine: the processor time that it takes from the honest client here is not the
    # server's fault. Threads and processes that it starts inherit its priority.
    own = threading.get_native_id()
    if given.timing:
        os.sched_setscheduler(own, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.setpriority(os.PRIO_PROCESS, own, min(19, os.getpriority(os.PRIO_PROCESS, own) + NICER))
    try:
        kind.run(given)
    except Exception:
        given.found.fault("the attack itself ended: " + traceback.format_exc()[-600:])


def one(target: Target, kind: Kind, seconds: float, seed: int, run: str) -> dict[str, Any]:
    """One attack, beside an honest client that logs to a run; returns its entry of the result."""
    found = Found()
    began = time.monotonic()
    with watch.Watch(target) as host, Honest(target, run) as client:
        # Connections are open and logins are cached.
        time.sleep(0.5)
        given = Attack(target, Random(seed), time.monotonic() + seconds, found, timing=seconds == kind.long)
        attacker = threading.Thread(target=attack, args=(kind, given))
        attacker.start()
        attacker.join()
    failed = client.failed()
    if failed:
        kinds = sorted({status for _, status in client.answers if status != 200})
        found.fault(f"{failed} of {len(client.answers)} requests of the honest client failed: {kinds}")
    for line in host.lost:
        found.fault(f"lost: {line}")
    if host.most.get("outside_mib", 0) > OUTSIDE_MIB:
        found.fault(f"{host.most['outside_mib']} MiB on the root disk outside of the volume")
    return {
        "attack": kind.name,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "requests": sum(found.answers.values()),
        "answers": dict(sorted(found.answers.items())),
        "honest": {"requests": len(client.answers), "failed": failed, "ms": client.milliseconds()},
        "lost": host.lost,
        **host.most,
        "faults": found.faults,
    }


def abuse(
    target: Target, seconds: float, seed: int, kinds: Sequence[Kind] = KINDS, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """All attacks in turns until the time is over, each at least once; then the check of what they left.

    Args:
        seconds: 0 is one short turn.
        seed: of the random generator.
        say: gets a line for each attack.
    """
    rng = Random(seed)
    run = target.run()
    places = [str(target.settings["artifacts"]["path"]), str(target.settings["instance"]["state_path"])]
    places += [str(repository["location"]) for repository in target.settings["recovery"]["repositories"]]
    before = watch.files(target, *places)
    say(f"seed {seed}")

    def idle(duration: float) -> list[float]:
        with Honest(target, run) as client:
            time.sleep(duration)
        return [1000 * taken for taken, _ in client.answers]

    deadline = time.monotonic() + seconds
    alone = idle(IDLE_SECONDS if seconds else SHORT_IDLE_SECONDS)
    entries: list[dict[str, Any]] = []
    looked: list[Found] = []
    point = ""
    try:
        while not entries or time.monotonic() < deadline:
            for kind in rng.sample(kinds, len(kinds)) if seconds else kinds:
                lasts = kind.long if seconds else kind.short
                entry = one(target, kind, lasts, rng.getrandbits(32), run)
                # Other processes may use the machine, too: measuring before and after includes their load.
                again = idle(IDLE_SECONDS) if seconds else alone
                entry["idle_ms"] = percentiles([*alone, *again])
                entry["times_idle"] = round(entry["honest"]["ms"]["p95"] / max(entry["idle_ms"]["p95"], 0.001), 2)
                alone = again
                entries.append(entry)
                say(line(entry))
            after, point = recovery.check(target)
            looked.append(after)
            say(f"recovery point {point}: {after.faults or 'verified'}")
            recovery.clean(target)
    finally:
        recovery.clean(target)
    new = sorted(watch.files(target, *places) - before)
    return {
        "machine": machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "seed": seed,
        "attacks": entries,
        "recovery": {
            "point": point,
            "answers": dict(sum((after.answers for after in looked), Counter())),
            "faults": [fault for after in looked for fault in after.faults],
        },
        "files_outside": [path[:200] for path in new],
        "bodies_kept": watch.bodies(target).split(),
    }


def line(entry: dict[str, Any]) -> str:
    """One line about an attack's result, for the terminal."""
    ms, faults = entry["honest"]["ms"], entry["faults"]
    head = (
        f"{entry['attack']:<22}{entry['seconds']:>6.0f} s {entry['requests']:>6} requests  honest p95 {ms['p95']:>7.3g} ms"
        f" ({entry['times_idle']} x idle), {entry['honest']['failed']} failed  outside {entry.get('outside_mib')} MiB"
    )
    return "\n".join([head, *(f"    {fault}" for fault in faults)])


def faults(result: dict[str, Any], *, timing: bool = False) -> list[str]:
    """All faults; with those of the latency only on request."""
    found = [
        f"{entry['attack']} (seed {entry['seed']}): {fault}" for entry in result["attacks"] for fault in entry["faults"]
    ]
    found += [f"afterwards: {fault}" for fault in result["recovery"]["faults"]]
    found += [f"new outside of the places: {path}" for path in result["files_outside"]]
    found += [f"a body is kept: {path}" for path in result["bodies_kept"]]
    if timing:
        found += [
            f"{entry['attack']} (seed {entry['seed']}): the honest client's p95 is {entry['times_idle']} times that when idle"
            for entry in result["attacks"]
            if (entry["times_idle"] or 0) > TIMES_IDLE
        ]
    return found
