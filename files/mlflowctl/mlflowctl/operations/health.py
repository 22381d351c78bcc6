"""Does the server serve, right now? PostgreSQL, MLflow, nginx, the volume, room on both disks, ``/ready``.

Every look is apart from the others (:mod:`mlflowctl.core.looks`), so whatever is
broken, the rest is said.
"""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mlflowctl.access import declared
from mlflowctl.core import service
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.core.looks import SECONDS, Finding, Look
from mlflowctl.core.process import run
from mlflowctl.recovery import preflight
from mlflowctl.stores.database import postgresql

DATABASE, VOLUME, ROOM, READY, PUBLIC = "postgresql", "volume", "room", "ready", "public-url"
# Where Debian keeps all clusters.
CLUSTERS = Path("/var/lib/postgresql")
LEAST_BYTES = 64 << 20


def parts(config: Config) -> tuple[str, ...]:
    """The units whose death ends the service, but for PostgreSQL."""
    return f"{config.unit}.service", f"{config.unit}-asgi.service"


def looks(config: Config) -> list[Look]:
    """All of them, causes first."""
    beneath = (DATABASE, VOLUME)
    found = [
        Look(DATABASE, lambda: _database(config)),
        Look(VOLUME, lambda: _volume(config)),
        Look(ROOM, lambda: _room(config)),
        Look(f"{config.unit}.service", lambda: _mlflow(config), beneath),
    ]
    if declared.settings().exists():
        found.append(Look("nginx.service", lambda: _nginx(declared.load().units)))
        found.append(Look(PUBLIC, lambda: _public(declared.load()), ("nginx.service", *parts(config), *beneath)))
    return [*found, Look(READY, lambda: _ready(config), (*parts(config), *beneath))]


def states(units: Sequence[str]) -> dict[str, dict[str, str]]:
    """What systemd says of units, by their names."""
    names = "Id,LoadState,UnitFileState,ActiveState,SubState,NRestarts"
    shown = run(["systemctl", "show", f"--property={names}", *units], timeout=SECONDS / 2).stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    return {block["Id"]: block for block in blocks if "Id" in block}


def _unit(name: str, state: dict[str, str], idle: bool = False, causes: tuple[str, ...] = ()) -> list[Finding]:
    """What is wrong with a unit that is to run.

    Args:
        name: of the unit.
        state: as :func:`states` gives it.
        idle: it may be stopped: a socket starts it.
        causes: what explains it.
    """
    active, sub = state.get("ActiveState", "unknown"), state.get("SubState", "")
    see = f"journalctl -u {name}"
    if active in ("active", "reloading", "deactivating") or (idle and active == "inactive"):
        return []
    if active == "activating" and sub != "auto-restart" and state.get("NRestarts", "0") == "0":
        return [Finding(name, f"{name} is starting", causes, passing=True)]
    if active == "activating":
        return [Finding(name, f"{name} has ended and is started again: {see}", causes)]
    if active == "failed":
        return [Finding(name, f"{name} has failed: {see}", causes)]
    return [Finding(name, f"{name} does not run: systemctl start {name}", causes)]


def _database(config: Config) -> list[Finding]:
    with postgresql.connect(config) as connection:
        connection.execute("SELECT 1")
    return []


def _volume(config: Config) -> list[Finding]:
    preflight.check_volume(config)
    return []


def _mlflow(config: Config) -> list[Finding]:
    # A restore stops them, and starts them again.
    if config.closed_file.exists():
        return []
    main, asgi = parts(config)
    sockets = [name.replace(".service", ".socket") for name in (main, asgi)]
    found = states([main, asgi, *sockets])
    causes = (DATABASE, VOLUME)
    problems = _unit(main, found[main], causes=causes)
    if found[sockets[1]].get("UnitFileState") == "enabled":
        problems += _unit(asgi, found[asgi], idle=True, causes=causes)
        problems += _unit(sockets[1], found[sockets[1]])
    return [*problems, *_unit(sockets[0], found[sockets[0]])]


def _nginx(units: Sequence[str]) -> list[Finding]:
    found = states(units)
    return [
        finding
        for name in units
        for finding in _unit(name, found[name], causes=() if name == "nginx.service" else ("nginx.service",))
    ]


def _ready(config: Config) -> list[Finding]:
    if config.closed_file.exists():
        return []
    try:
        service.get(config, "/ready", service.socket_path(config), seconds=SECONDS / 2)
    except ControlError as error:
        _, _, said = str(error).partition("503: ")
        try:
            failed = [name for name, result in json.loads(said)["checks"].items() if result != "ok"]
        except (ValueError, KeyError, AttributeError, TypeError):
            raise error from None
        raise ControlError(f"MLflow cannot serve, it says of itself: {', '.join(failed)} failed") from error
    return []


def _public(proxy: declared.Access) -> list[Finding]:
    """The way of every client, to this host's own nginx: TLS, nginx, MLflow."""
    url = urlsplit(proxy.public_url)
    context = ssl.create_default_context(cafile=str(proxy.ca) if proxy.ca else None)
    # The name is compared below by nginx, which knows one only; clients resolve it, this host need not.
    context.check_hostname = False
    if not proxy.ca:
        context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", url.port or 443, timeout=SECONDS / 2, context=context)
    try:
        connection.request("GET", f"{url.path.rstrip('/')}/health", headers={"Host": url.netloc})
        status = connection.getresponse().status
    except OSError as error:
        raise ControlError(f"nginx does not answer at {proxy.public_url}: {error}") from error
    finally:
        connection.close()
    # 400: client certificates are required, and this is none's; nginx lives.
    if status not in (200, 400, 429):
        raise ControlError(f"{proxy.public_url}/health answers {status}")
    return []


def room(config: Config) -> dict[str, int]:
    """Free bytes by directory: the artifact volume, where dumps are put together, the database."""
    free = {}
    for path in (config.volume_path, config.state_path, CLUSTERS):
        try:
            free[str(path)] = shutil.disk_usage(path).free
        except OSError:
            continue
    return free


def _room(config: Config) -> list[Finding]:
    if config.full_file.exists():
        problem = (
            "uploads are refused: the artifact volume has less free than mlflow_volume_reserve_mb."
            " Make room, as by mlflowctl gc"
        )
        return [Finding(ROOM, problem)]
    short = [f"{path} has {free >> 20} MiB free" for path, free in room(config).items() if free < LEAST_BYTES]
    return [Finding(ROOM, f"{' and '.join(short)}: make room")] if short else []
