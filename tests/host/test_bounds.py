"""One client's requests do not block MLflow's processes for others."""

from __future__ import annotations

import gzip
import time
import zlib
from typing import Any

import pytest

API = "/api/2.0/mlflow"
MIB = 1 << 20
# Seconds. Reading such a body, or executing such a query, takes a minute or more.
HANGS = 40


def bomb(coding: str, size: int) -> bytes:
    """A small body that is this many MiB of zeros."""
    if coding == "members":
        return gzip.compress(bytes(20 * MIB)) * (size // 20)
    if coding == "gzip":
        return gzip.compress(bytes(size * MIB))
    one = zlib.compressobj(wbits=-zlib.MAX_WBITS if coding == "raw" else zlib.MAX_WBITS)
    return one.compress(bytes(size * MIB)) + one.flush()


def traces(server: Any, http: Any, body: bytes, coding: str) -> Any:
    """MLflow's answer to spans that are compressed like this."""
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": "0", "Content-Encoding": coding}
    return http.post(server.url + "/v1/traces", data=body, headers=headers, timeout=HANGS)


@pytest.mark.parametrize("coding", ["gzip", "members", "zlib", "raw"])
def test_a_compressed_body_counts_with_its_size_after_unpacking(server: Any, http: Any, coding: str) -> None:
    """It is refused at once, and the message names the limit."""
    # The first such request starts the processes.
    traces(server, http, b"", "gzip")
    answer = traces(server, http, bomb(coding, 200), "gzip" if coding in ("gzip", "members") else "deflate")
    assert answer.status_code == 413, answer.text
    assert f"{server['mlflow_bulk_request_limit_mb']} MiB" in answer.json()["message"]


def test_many_empty_spans_are_refused_before_they_are_read(server: Any, http: Any) -> None:
    """Otherwise 30 MiB of them take a minute of the thread that all requests wait for, or gigabytes."""
    traces(server, http, b"", "gzip")
    assert traces(server, http, gzip.compress(b"\x0a\x00" * (15 * MIB)), "gzip").status_code == 413


def test_a_compressed_body_within_the_limit_reaches_mlflow(server: Any, http: Any) -> None:
    """MLflow answers for invalid spans; it does not see damaged compression."""
    assert "no spans found" in traces(server, http, gzip.compress(b""), "gzip").text
    assert traces(server, http, gzip.compress(b"x" * 100)[:-9], "gzip").json()["error_code"]
    assert traces(server, http, b"x", "br").status_code == 415


@pytest.mark.parametrize(
    ("path", "question", "named"),
    [
        ("runs/search", {"experiment_ids": ["0"], "filter": ";" * 900_000}, "filter"),
        ("runs/search", {"experiment_ids": ["0"], "filter": "(,)" * 300_000}, "filter"),
        (
            "runs/search",
            {"experiment_ids": ["0"], "filter": " AND ".join(f"metrics.a{n} > 1" for n in range(200))},
            "filter",
        ),
        ("runs/search", {"experiment_ids": ["0"], "order_by": [f"metrics.a{n}" for n in range(400)]}, "order_by"),
        ("experiments/search", {"max_results": 9, "order_by": ["name ASC"] * 60_000}, "order_by"),
        ("logged-models/search", {"experiment_ids": ["0"], "datasets": [{"dataset_name": "a"}] * 30_000}, "datasets"),
        ("runs/search", {"a": [[[["a"] * 20_000]]]}, "a"),
    ],
)
def test_a_question_that_costs_too_much_is_refused(
    server: Any, http: Any, path: str, question: dict[str, Any], named: str
) -> None:
    """With an error that the client shows, before a worker processes it."""
    answer = http.post(f"{server.url}{API}/{path}", json=question, timeout=HANGS)
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["message"]


def test_thousands_of_runs_are_found_by_their_ids(server: Any, client: Any) -> None:
    """As many as MLflow's parser accepts."""
    found = client(
        "-c",
        "import mlflow\nwith mlflow.start_run() as run: pass\n"
        "ids = [f'{n:032x}' for n in range(3200)] + [run.info.run_id]\n"
        "quoted = ', '.join(repr(one) for one in ids)\n"
        "print(len(mlflow.search_runs(['0'], filter_string=f'attributes.run_id IN ({quoted})')))",
    )
    assert found.splitlines()[-1].strip() == "1"


@pytest.mark.parametrize(("kind", "variable"), [("", "mlflow_memory_percent"), ("-asgi", "mlflow_asgi_memory_percent")])
def test_memory_has_a_bound(server: Any, host: Any, kind: str, variable: str) -> None:
    """The kernel kills a worker of MLflow and not PostgreSQL, and systemd lets the other workers continue."""
    names = "MemoryMax,MemoryHigh,OOMPolicy,OOMScoreAdjust"
    shown = host.check_output(f"systemctl show -p {names} {server.unit}{kind}.service").splitlines()
    found = dict(line.split("=") for line in shown)
    total = int(host.check_output("awk '/^MemTotal/ {print $2}' /proc/meminfo")) << 10
    assert int(found["MemoryMax"]) / total == pytest.approx(server[variable] / 100, abs=0.01)
    assert int(found["MemoryHigh"]) < int(found["MemoryMax"])
    assert (found["OOMPolicy"], found["OOMScoreAdjust"]) == ("continue", "500")


def test_a_worker_that_is_killed_is_replaced(server: Any, host: Any, http: Any) -> None:
    """The service continues: the same master, and as many workers as before."""
    main = f"systemctl show -p MainPID --value {server.unit}.service"
    before = host.check_output(main)
    workers = host.check_output(f"pgrep --parent {before}").split()
    host.check_output(f"kill -KILL {workers[0]}")
    for _ in range(50):
        now = host.run(f"pgrep --parent {before}").stdout.split()
        if len(now) == len(workers) and workers[0] not in now:
            break
        time.sleep(0.2)
    assert workers[0] not in now
    assert len(now) == len(workers)
    assert host.check_output(main) == before
    assert http.get(server.url + "/ready").ok


def test_a_statement_has_an_end(server: Any, host: Any) -> None:
    """It applies only to the server's statements."""
    environment = host.check_output(f"systemctl show -p Environment --value {server.unit}.service")
    assert f"statement_timeout={server['mlflow_statement_timeout_seconds']}s" in environment
    begun = host.check_output(f"systemctl show -p Environment --value {server.unit}-db-init.service")
    assert "statement_timeout" not in begun
