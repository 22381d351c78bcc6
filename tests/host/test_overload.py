"""More concurrent requests than the server can process: all are answered, and afterwards it works as before."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CROWD = Path(__file__).parents[1] / "harness" / "crowd.py"
CLIENTS = 300
WORK = "import mlflow\nwith mlflow.start_run():\n    for step in range(5): mlflow.log_metric('m', step, step=step)\nprint('logged')"

IDLE = """
import http.client, socket, sys, time
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1])
for pause in 0, 10:
    time.sleep(pause)
    first = connection.sock
    connection.request("GET", "/version")
    print(len(connection.getresponse().read()) > 0, connection.sock is first)
"""


def crowd(server: Any, run: str, command: list[str], **more: Any) -> subprocess.Popen[str]:
    """Start clients, which connect and wait for a line."""
    url = urlsplit(server.url)
    login = base64.b64encode(":".join(server.login).encode()).decode()
    wanted = {
        "address": url.hostname,
        "port": url.port or 443,
        "host": url.netloc,
        "headers": {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        "path": f"{url.path}/api/2.0/mlflow/runs/log-metric",
        "body": json.dumps({"run_id": run, "key": "crowd", "value": 1, "timestamp": 1, "step": 1}),
        "health": f"{url.path}/health",
        "clients": CLIENTS,
    }
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    print(json.dumps(wanted | more), file=process.stdin, flush=True)
    return process


def test_overload_is_served_or_answered_with_retry_after(server: Any, http: Any, host: Any, client: Any) -> None:
    """Nine hundred clients from three addresses are all answered; a real one among them sees no error; nothing restarts."""
    answer = http.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"})
    run = answer.json()["run"]["info"]["run_id"]
    # A worker that was killed or replaced has another PID.
    main = host.check_output(f"systemctl show -p MainPID --value {server.unit}.service")
    processes = f"pgrep --parent {main}; cat /run/nginx.pid"
    before = host.check_output(processes)
    near, _, _ = host.check_output("hostname --ip-address").partition(" ")
    inside = ["docker", "exec", "--interactive", server.name, "python3", "-c", CROWD.read_text()]
    crowds = [
        crowd(server, run, [sys.executable, str(CROWD)]),
        crowd(server, run, inside, address=near),
        crowd(server, run, inside, address="127.0.0.1"),
    ]
    for process in crowds:
        assert process.stdout
        assert process.stdout.readline() == "connected\n"
    for process in crowds:
        print("go", file=process.stdin, flush=True)
    assert "logged" in client("-c", WORK)
    for process in crowds:
        assert process.stdout
        kinds = json.loads(process.stdout.read())
        assert process.wait() == 0
        assert [kind for kind in kinds if not re.fullmatch("200|(429|503), retry after", kind)] == [], kinds
        assert kinds["200"] > CLIENTS // 2

    assert http.get(server.url + "/ready").ok
    assert host.check_output(processes) == before


def test_each_nginx_process_has_its_own_queue_of_connections(server: Any, host: Any) -> None:
    """With a shared queue, most connections of a busy host go to one process, which is then slow for all of them."""
    port = urlsplit(server.url).port or 443
    queues = host.check_output(f"ss --tcp --listening --numeric --no-header --ipv4 'sport = :{port}'").splitlines()
    workers = host.check_output("pgrep --parent $(cat /run/nginx.pid) --full 'worker process$'").split()
    assert len(queues) == len(workers)
    assert len(workers) == int(host.check_output("nproc"))


@pytest.mark.parametrize("socket", ["wsgi", "asgi"])
def test_mlflow_keeps_connections_much_longer_than_nginx(server: Any, host: Any, socket: str) -> None:
    """nginx closes them after 4 s. If MLflow's timeout were near that, a host that pauses for seconds would lose requests."""
    asked = host.check_output(f"python3 -c '{IDLE}' /run/{server.unit}/{socket}.sock")
    assert asked == "True True\nTrue True"
