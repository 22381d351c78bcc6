"""Measure the cost of each step of an artifact request in nginx, in minutes: `make bench-artifacts`.

Removes them from the configuration of the container of `make bench`, one after
the other, and puts it back. Writes docs/results/artifacts.json, and its table in
docs/speed.md.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

from bench import data
from bench.load import Request, load
from bench.machine import machine
from bench.servers import BARE, OURS, ROOT, Server, on_host, prepare
from scripts import readme_tables

RESULT = ROOT / "docs" / "results" / "artifacts.json"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
CLIENTS = 8
REQUESTS = {
    "4 KiB read": Request("GET", "{artifacts}/read/@SLOT@"),
    "4 KiB written": Request("PUT", "{artifacts}/new/@SLOT@/@COUNTER@", "4k", type="application/octet-stream"),
}
POLICY = "/etc/nginx/mlflow/access-policy.conf"
NO_LOGIN = "s|^auth_request .*|auth_request off;|"
NO_AUDIT = "/^access_log .*audit/d"
NO_LOG = "s|^access_log .*|access_log off;|"
# sed(1) commands for the file that holds the login and the logs.
WITHOUT = {
    "as installed": [],
    "without the audit log": [NO_AUDIT],
    "without any log": [NO_AUDIT, NO_LOG],
    "without a login": [NO_LOGIN],
    "without any log or login": [NO_AUDIT, NO_LOG, NO_LOGIN],
}
ALONE = "nginx alone, without rules for names, roles, fences and limits"


def _configure(commands: list[str]) -> None:
    """Run nginx with a configuration that these commands have changed."""
    on_host("cp", f"{POLICY}.whole", POLICY)
    for command in commands:
        on_host("sed", "--in-place", command, POLICY)
    on_host("nginx", "-t", "-q")
    on_host("systemctl", "reload", "nginx.service")


def measure() -> dict[str, dict[str, list[float]]]:
    """Requests per second in each round, by configuration and request; all take turns in each round."""
    found: dict[str, dict[str, list[float]]] = {words: {name: [] for name in REQUESTS} for words in (*WITHOUT, ALONE)}

    def rates(words: str, server: Server) -> None:
        for name, request in REQUESTS.items():
            load(server, request, CLIENTS, 1)  # connections and the login cache are warm
            found[words][name].append(float(f"{load(server, request, CLIENTS, SECONDS).rate:.4g}"))
            print(f"   {words:<65}{name:<15}{found[words][name][-1]:>10,.4g}/s", flush=True)

    on_host("cp", "--preserve", POLICY, f"{POLICY}.whole")
    try:
        for _ in range(ROUNDS):
            for words, commands in WITHOUT.items():
                _configure(commands)
                rates(words, OURS)
            rates(ALONE, BARE)
    finally:
        _configure([])
        on_host("mv", f"{POLICY}.whole", POLICY)
    return found


def main() -> None:
    """Measure and write."""
    prepare()
    data.fill(OURS)
    for server in (OURS, BARE):
        data.bodies(server)
        data.files(server)
    result = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "rounds": ROUNDS, "clients": CLIENTS}
    RESULT.write_text(json.dumps(result | {"rates": measure()}, indent=2) + "\n")
    readme_tables.main()


if __name__ == "__main__":
    main()
