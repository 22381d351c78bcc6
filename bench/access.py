"""Measure what a login costs, and how password guessing delays others, on an otherwise idle machine: some minutes.

``python -m bench.access [CONTAINER CLIENT_ENV]``; by default the demo's, after `make demo`. Writes
docs/results/access.json. `make readme` puts the figures into docs/results/README.md.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

from bench.machine import machine
from bench.servers import ROOT

REQUESTS = 1000
ROUNDS = 7
# Not one of the answers that nginx caches: MLflow does the same work with and without a login.
ROUTE = "/api/2.0/mlflow/experiments/get?experiment_id=0"
GUESSES_PER_SECOND = 20

# The same routes without a login, for this measurement only.
OPEN = """
server {
    listen 18443 ssl;
    include /etc/nginx/mlflow/tls.conf;
    keepalive_requests 100000;
    access_log off;
    location / { include /etc/nginx/mlflow/upstream.conf; }
}
"""
# On the host: guess a password, from an address other than the client's. Arguments: Host, name, per second, port.
GUESS = """
import base64, http.client, secrets, ssl, sys, time
context = ssl._create_unverified_context()
while True:
    connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[4]), context=context)
    for _ in range(100):
        login = base64.b64encode(f"{sys.argv[2]}:{secrets.token_hex(8)}".encode()).decode()
        start = time.monotonic()
        connection.request("GET", "/version", headers={"Host": sys.argv[1], "Authorization": f"Basic {login}"})
        assert connection.getresponse().read() is not None
        time.sleep(max(0, 1 / float(sys.argv[3]) - (time.monotonic() - start)))
    connection.close()
"""


def docker(*command: str, stdin: str = "") -> str:
    """Run the engine's client; returns what it prints."""
    done = subprocess.run(["docker", *command], input=stdin, capture_output=True, text=True, check=True)
    return done.stdout


class Client:
    """A client with one connection that stays open."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, headers: dict[str, str]) -> None:
        self._connection = http.client.HTTPSConnection(host, port, context=context)
        self._headers = headers

    def times(self, count: int) -> list[float]:
        """Seconds of each of so many requests.

        Raises:
            SystemExit: one was not answered with 200.
        """
        found = []
        for _ in range(count):
            start = time.monotonic()
            self._connection.request("GET", ROUTE, headers=self._headers)
            answer = self._connection.getresponse()
            answer.read()
            found.append(time.monotonic() - start)
            if answer.status != 200:
                raise SystemExit(f"{ROUTE} was answered with {answer.status}")
        return found


def spread(values: list[float]) -> dict[str, float]:
    """Median, minimum and maximum, to three digits."""
    return {"median": round(median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def main() -> None:
    """Measure and write."""
    container, environment = sys.argv[1:] or ["mlflow-demo", ".demo/client.env"]
    message = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", Path(environment).read_text(), re.M))
    url = urlsplit(message["MLFLOW_TRACKING_URI"])
    name = message["MLFLOW_TRACKING_USERNAME"]
    login = base64.b64encode(f"{name}:{message['MLFLOW_TRACKING_PASSWORD']}".encode()).decode()
    context = ssl.create_default_context(cafile=message["MLFLOW_TRACKING_SERVER_CERT_PATH"])
    loose = ssl.create_default_context(cafile=message["MLFLOW_TRACKING_SERVER_CERT_PATH"])
    loose.check_hostname = False
    address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container).strip()

    docker("exec", "--interactive", container, "tee", "/etc/nginx/conf.d/zz-open.conf", stdin=OPEN)
    guesser = None
    try:
        docker("exec", container, "systemctl", "reload", "nginx.service")
        time.sleep(2)
        port = url.port or 443
        headers = {"Host": url.netloc}
        known = Client(str(url.hostname), port, context, headers | {"Authorization": f"Basic {login}"})
        # Both over the container's own address: only the login differs.
        direct = Client(address, port, loose, headers | {"Authorization": f"Basic {login}"})
        opened = Client(address, 18443, loose, headers)
        ratios = []
        for client in (known, direct, opened):
            client.times(REQUESTS)
        for _ in range(ROUNDS):
            without, with_login = sum(opened.times(REQUESTS)), sum(direct.times(REQUESTS))
            ratios.append(with_login / without)
        calm, guessed = [], []
        for _ in range(ROUNDS):
            calm.append(known.times(REQUESTS))
            arguments = [url.netloc, name, str(GUESSES_PER_SECOND), str(port)]
            guesser = subprocess.Popen(["docker", "exec", container, "python3", "-c", GUESS, *arguments])
            time.sleep(2)
            guessed.append(known.times(REQUESTS))
            docker("exec", container, "pkill", "--full", "token_hex")
            guesser.wait()
            guesser = None
    finally:
        if guesser:
            guesser.kill()
        docker("exec", container, "rm", "/etc/nginx/conf.d/zz-open.conf")
        docker("exec", container, "systemctl", "reload", "nginx.service")
    p95 = [quantiles(there, n=20)[18] / quantiles(here, n=20)[18] for here, there in zip(calm, guessed, strict=True)]
    middle = [median(there) / median(here) for here, there in zip(calm, guessed, strict=True)]
    result = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "requests": REQUESTS,
        "rounds": ROUNDS,
        "route": ROUTE,
        "with_login_to_without": spread(ratios),
        "guesses_per_second": GUESSES_PER_SECOND,
        "median_while_guessed_to_calm": spread(middle),
        "p95_while_guessed_to_calm": spread(p95),
    }
    (ROOT / "docs" / "results" / "access.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
