"""The attacks on a server, without a server: random inputs, and what counts as a fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.abuse import fields, names, rows, runner, slow
from tests.abuse.found import Attack, Found, readable
from tests.abuse.honest import percentiles
from tests.abuse.runner import faults
from tests.abuse.table import KINDS, Kind
from tests.abuse.target import Target
from tests.abuse.watch import LOST

TARGET = Target("https://[::1]:8443/mlflow", "ca.crt", {"viewer": ("bob", "x")}, "host")


def attack(seed: int) -> Attack:
    """An attack of one second."""
    return Attack(TARGET, Random(seed), time.monotonic() + 1, Found())


def result(**more: Any) -> dict[str, Any]:
    """A long run without faults, except for the given ones."""
    entry = {"attack": "a", "seed": 1, "faults": [], "times_idle": 3.0}
    return {"attacks": [entry], "recovery": {"faults": []}, "files_outside": [], "bodies_kept": []} | more


def test_the_same_seed_gives_the_same_inputs() -> None:
    """A fault can be reproduced; another seed has other inputs."""
    for inputs in (rows.address, names.name):
        thrown = [[inputs(rng) for _ in range(100)] for rng in (attack(1), attack(1), attack(2))]
        assert thrown[0] == thrown[1] != thrown[2]
        assert len({str(one) for one in thrown[0]}) > 80


def test_every_kind_of_unusual_name_is_generated() -> None:
    """A URL has no characters that an HTTP client would refuse."""
    rng = attack(1)
    thrown = [names.name(rng) for _ in range(500)]
    assert len({kind for kind, _ in thrown}) == 10
    assert all(chosen.isascii() and chosen.isprintable() and " " not in chosen for _, chosen in thrown)


def test_forged_bodies_change_the_victim() -> None:
    """They are JSON, and parsing them as MLflow does finds the victim, or no run."""
    found = fields.bodies(Random(1), "VICTIM", "DECOY")
    for what, body in found.items():
        read = json.loads(body)
        assert read.get("run_id") or read.get("runId") or what == "of no run", what
        assert "DECOY" not in (read.get("run_id"), read.get("runId")), what
    assert sum("DECOY" in body for body in found.values()) > 5


def test_only_json_with_words_is_readable() -> None:
    """A client shows nothing of an HTML page."""
    assert readable('{"error_code": "X", "message": "too large"}')
    for body in ("", "<html>", "[]", "{}", '{"error_code": "X"}', '{"message": ""}'):
        assert not readable(body)


def test_a_wrong_answer_is_a_fault_once() -> None:
    """For any number of occurrences, which are counted."""
    found = Found()
    for _ in range(3):
        found.expect("question", "500", {"200"})
    found.expect("question", "413", {"413"}, "<html>")
    assert found.faults == ["question: 500, right is 200", "question: 413 without error_code and message in JSON"]
    assert found.answers == {"500": 3, "413": 1}


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({}, False),
        ({"files_outside": ["/etc/cron.d/x"]}, True),
        ({"bodies_kept": ["/var/lib/nginx/body/1"]}, True),
        ({"recovery": {"faults": ["no point"]}}, True),
        ({"attacks": [{"attack": "a", "seed": 1, "faults": ["lost"], "times_idle": 1.0}]}, True),
    ],
)
def test_what_is_wrong_in_a_result(more: dict[str, Any], wrong: bool) -> None:
    """Each part of it counts."""
    assert bool(faults(result(**more))) is wrong


def test_latency_counts_in_a_long_run_only() -> None:
    """Three times the idle one, and not more."""
    late = result(attacks=[{"attack": "a", "seed": 7, "faults": [], "times_idle": 3.1}])
    assert faults(late) == []
    assert faults(result(), timing=True) == []
    assert "3.1 times" in faults(late, timing=True)[0]


def test_percentiles_of_the_honest_client() -> None:
    """Of few answers, too."""
    assert percentiles([]) == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "most": 0.0}
    assert percentiles([1.0]) == {"p50": 1.0, "p95": 1.0, "p99": 1.0, "most": 1.0}
    assert percentiles([float(number) for number in range(1, 102)]) == {"p50": 51, "p95": 96, "p99": 100, "most": 101}


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ("[2026-11-28 15:06:36 +0000] [651] [CRITICAL] WORKER TIMEOUT (pid:669)", True),
        ("[2026-11-28 15:06:36 +0000] [651] [ERROR] Worker (pid:669) was sent SIGKILL! Perhaps out of memory?", True),
        ("mlflow.service: A process of this unit has been killed by the OOM killer.", True),
        ("2026/11/28 15:06:36 [alert] 59#59: worker process 61 exited on signal 11", True),
        ("[2026-11-28 15:06:36 +0000] [669] [INFO] Worker exiting (pid: 669)", False),
        ("[2026-11-28 15:06:36 +0000] [651] [INFO] Booting worker with pid: 669", False),
    ],
)
def test_lines_about_lost_processes(line: str, lost: bool) -> None:
    """A worker that is replaced after its number of requests is not lost."""
    assert bool(LOST.search(line)) is lost


def test_a_target_keeps_its_path() -> None:
    """Also below a path, and by an address of IPv6."""
    assert TARGET.address == ("::1", 8443)
    assert TARGET.origin == "https://[::1]:8443"
    head = TARGET.head("POST", "/health", "viewer", Content_Length=5)
    assert head.startswith(b"POST /mlflow/health HTTP/1.1\r\nHost: [::1]:8443\r\nAuthorization: Basic ")
    assert head.endswith(b"\r\nContent-Length: 5\r\n\r\n")


def test_the_table_has_each_kind_once() -> None:
    """By name; a long run gives slow clients longer than the slowest may take."""
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(kind.long > slow.BOUND for kind in KINDS if kind.name.startswith("slow"))


def test_attackers_get_less_of_the_processors() -> None:
    """So do their threads and processes; the honest client does not."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    seen: list[int] = []

    def run(_: Attack) -> None:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        output = subprocess.run([sys.executable, "-c", "import os; print(os.nice(0))"], capture_output=True, check=True)
        seen.append(int(output.stdout))

    attacker = threading.Thread(target=runner.attack, args=(Kind("a", run, 1), attack(1)))
    attacker.start()
    attacker.join()
    assert seen == [min(19, own + runner.NICER)] * 2
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_attackers_get_what_is_left_where_latency_counts() -> None:
    """Of the processors: the thread, and the processes that it starts."""
    seen: list[int] = []

    def run(_: Attack) -> None:
        seen.append(os.sched_getscheduler(threading.get_native_id()))
        code = "import os; print(os.sched_getscheduler(0))"
        seen.append(int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))

    attacker = threading.Thread(target=runner.attack, args=(Kind("a", run, 1), replace(attack(1), timing=True)))
    attacker.start()
    attacker.join()
    assert seen == [os.SCHED_IDLE] * 2


def test_an_attack_that_fails_is_a_fault() -> None:
    """An attack that cannot be made proves nothing."""

    def run(_: Attack) -> None:
        raise ValueError("broken")

    given = attack(1)
    attacker = threading.Thread(target=runner.attack, args=(Kind("a", run, 1), given))
    attacker.start()
    attacker.join()
    assert "broken" in given.found.faults[0]
