"""Stop and start MLflow through systemd, and send it requests."""

from __future__ import annotations

import http.client
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from mlflowctl.core.config import Instance
from mlflowctl.core.errors import ControlError
from mlflowctl.core.process import run

READY_SECONDS = 90

__all__ = ["closed", "environment", "get", "query", "quote", "start", "stop", "user", "wait_ready"]
query = urlencode


def user(instance: Instance) -> dict[str, Any]:
    """Arguments of subprocess that run a program as the service's user."""
    return {"user": instance.user, "group": instance.user, "extra_groups": [instance.group]}


def environment(instance: Instance) -> dict[str, str]:
    """The environment file of the service, as a program of the release needs it.

    Values may be quoted, as in a shell (systemd.exec(5), ``EnvironmentFile=``).
    """
    lines = [line.strip() for line in (instance.config_path / "mlflow.env").read_text().splitlines()]
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {name: " ".join(shlex.split(value)) for name, value in pairs} | {"PATH": "/usr/bin:/bin"}


def _services(instance: Instance) -> list[str]:
    return [f"{instance.unit}.service", f"{instance.unit}-asgi.service", f"{instance.unit}-db-init.service"]


def stop(instance: Instance) -> None:
    """Stop MLflow; its sockets keep accepting, so clients wait."""
    # The sockets would start it again at the next request.
    sockets = [f"{instance.unit}.socket", f"{instance.unit}-asgi.socket"]
    run(["systemctl", "stop", f"{instance.unit}.target", *sockets, *_services(instance)], accept=(0, 5))


def start(instance: Instance) -> None:
    """Start MLflow with its sockets."""
    run(["systemctl", "start", f"{instance.unit}.socket", f"{instance.unit}.target"])
    run(["systemctl", "start", f"{instance.unit}-asgi.socket"], accept=(0, 5))
    run(["systemctl", "start", f"{instance.unit}.service"])


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextmanager
def closed(file: Path) -> Iterator[None]:
    """Make nginx answer every request with 429 and Retry-After, so that clients wait instead of failing.

    Args:
        file: in the unit's RuntimeDirectory, with which it goes.
    """
    if file.parent.is_dir():
        file.touch(mode=0o644)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def socket_path(instance: Instance) -> Path:
    """The socket of the live REST service."""
    return Path(instance.runtime_path) / "wsgi.sock"


def get(instance: Instance, url: str, path: Path | str, seconds: float = 10) -> bytes:
    """GET over a Unix socket.

    Raises:
        ControlError: the answer is not 200.
    """
    connection = _UnixConnection(str(path), seconds)
    try:
        connection.request("GET", url, headers={"Host": urlsplit(instance.public_url).netloc})
        answer = connection.getresponse()
        body = answer.read()
    except OSError as error:
        raise ControlError(f"{path} does not answer {url}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ControlError(f"{url} answers {answer.status}: {body[:300].decode(errors='replace')}")
    return body


def wait_ready(instance: Instance, path: Path | None = None) -> None:
    """Wait until ``/ready`` answers 200.

    Raises:
        ControlError: it did not within :data:`READY_SECONDS`.
    """
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            get(instance, "/ready", path or socket_path(instance))
            return
        except ControlError as error:
            if time.monotonic() > deadline:
                raise ControlError(
                    f"MLflow is not ready after {READY_SECONDS} s: {error}. See: journalctl -u {instance.unit}.service"
                ) from error
        time.sleep(0.5)
