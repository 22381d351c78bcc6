"""The servers that are measured: this project, stock MLflow, and bare nginx, all on one host."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOST = "mlflow-bench"
# The container that commands run in: another one within `elsewhere`.
_container = ContextVar("container", default=HOST)
ADDRESS = "127.0.0.31"
LOGIN = ("bench", "nothing-but-a-benchmark")
CA = ROOT / ".cache" / "bench" / "ca.crt"
# After its first answer, stock MLflow continues to load workers and its job runner.
SECONDS_TO_WARM_UP = 40
EVERYWHERE = "0.0.0.0"  # noqa: S104 - in the container; published on the loopback address only

# nginx alone: files over the same TLS, and MLflow behind it, both without a login.
LIMIT = """
server {
    listen 18443 ssl;
    include /etc/nginx/mlflow/tls.conf;
    access_log off;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path /var/lib/mlflow/artifacts/incoming;
    location /files/ {
        alias /var/lib/mlflow/artifacts/limit/;
        dav_methods PUT;
        create_full_put_path on;
    }
    location / { include /etc/nginx/mlflow/upstream.conf; }
}
"""


@dataclass(frozen=True)
class Server:
    """One of the three.

    Attributes:
        name: ``ours``, ``stock`` or ``limit``.
        url: as seen from the host itself, and from this machine.
        units: the systemd units whose memory counts.
        headers: what every request carries.
        artifacts: path of the URL below which artifacts are.
        store: their existing directory on the host, which has the right owner.
    """

    name: str
    url: str
    units: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    artifacts: str = "/api/2.0/mlflow-artifacts/artifacts"
    store: str = "/var/lib/mlflow/artifacts/store"


_login = base64.b64encode(":".join(LOGIN).encode()).decode()
OURS = Server(
    name="ours",
    url=f"https://{ADDRESS}",
    units=("mlflow.service", "mlflow-asgi.service"),
    headers={"Authorization": f"Basic {_login}"},
)
STOCK = Server(
    name="stock",
    url=f"http://{ADDRESS}:5000",
    units=("mlflow-stock.service",),
    store="/var/lib/mlflow/stock",
)
BARE = Server(
    name="limit",
    url=f"https://{ADDRESS}:18443",
    # MLflow accepts only one host name.
    headers={"Host": ADDRESS},
    artifacts="/files",
    store="/var/lib/mlflow/artifacts/limit",
)


@contextmanager
def elsewhere(container: str) -> Iterator[None]:
    """Measure the host in another container. It answers to the same URL, from inside."""
    token = _container.set(container)
    try:
        yield
    finally:
        _container.reset(token)


def on_host(*command: str, stdin: str = "") -> str:
    """Run a program on the host that is measured; returns what it prints.

    Raises:
        SystemExit: it failed.
    """
    whole = ["docker", "exec", "--interactive", _container.get(), *command]
    done = subprocess.run(whole, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:300]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def install_tools() -> None:
    """Install the load generator."""
    on_host("sh", "-c", "command -v wrk >/dev/null || apt-get install --yes --quiet --no-install-recommends wrk curl")


def prepare() -> None:
    """Install the load generator, open bare nginx, and start stock MLflow on the same PostgreSQL."""
    install_tools()
    on_host("install", "--directory", "--owner=www-data", "/var/lib/mlflow/artifacts/limit")
    on_host("tee", "/etc/nginx/conf.d/zz-limit.conf", stdin=LIMIT)
    on_host("systemctl", "reload", "nginx.service")
    if on_host("sh", "-c", "systemctl is-active mlflow-stock.service || true").strip() == "active":
        return
    databases = on_host("psql", "--username=postgres", "-Atc", "SELECT datname FROM pg_database")
    if "mlflow_stock" not in databases.split():
        on_host("psql", "--username=postgres", "-qc", "CREATE DATABASE mlflow_stock")
    on_host(
        "install", "--directory", "--owner=postgres", "--mode=0700", "/var/lib/mlflow/stock", "/var/lib/mlflow/home"
    )
    on_host(
        *("systemd-run", "--unit=mlflow-stock", "--uid=postgres", "--setenv=HOME=/var/lib/mlflow/home", "--quiet"),
        *("--working-directory=/var/lib/mlflow/home", "--setenv=MLFLOW_DISABLE_TELEMETRY=true"),
        *("--setenv=PATH=/opt/mlflow/current/bin:/usr/bin:/bin", "/opt/mlflow/current/bin/mlflow", "server"),
        *("--backend-store-uri", "postgresql+psycopg2://postgres@/mlflow_stock?host=/var/run/postgresql"),
        *("--artifacts-destination", "/var/lib/mlflow/stock", "--host", EVERYWHERE, "--port", "5000"),
        *("--allowed-hosts", "*"),
    )
    for _ in range(120):
        if ask(STOCK, "GET", "/health", patient=True) == "OK":
            time.sleep(SECONDS_TO_WARM_UP)
            return
        time.sleep(1)
    raise SystemExit("stock MLflow does not answer: journalctl -u mlflow-stock")


def ask(server: Server, method: str, path: str, body: object = None, *, patient: bool = False) -> str:
    """One request from the host itself; returns the answer's body.

    Args:
        body: sent as JSON, if there is one.
        patient: return an empty text if there is no answer.

    Raises:
        SystemExit: the answer is an error.
    """
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--insecure", "--request", method]
    for name, value in server.headers.items():
        command += ["--header", f"{name}: {value}"]
    if body is not None:
        command += ["--header", "Content-Type: application/json", "--data-binary", "@-"]
    command.append(server.url + path)
    try:
        return on_host(*command, stdin=json.dumps(body))
    except SystemExit:
        if patient:
            return ""
        raise


def memory(server: Server) -> float:
    """Proportional set size of all processes of a server, in MiB."""
    code = (
        "import glob, sys\n"
        "total = 0\n"
        "for path in glob.glob('/proc/[0-9]*/cgroup'):\n"
        "    try:\n"
        "        if any('/' + unit in open(path).read() for unit in sys.argv[1:]):\n"
        "            rollup = open(path.replace('cgroup', 'smaps_rollup')).read()\n"
        "            total += int(rollup.split('Pss:')[1].split()[0])\n"
        "    except (FileNotFoundError, ProcessLookupError):\n"
        "        pass\n"
        "print(total)\n"
    )
    return int(on_host("python3", "-c", code, *server.units)) / 1024
