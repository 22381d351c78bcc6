"""Health checks: PostgreSQL, MLflow, nginx, the artifact volume, free space, ``/ready``.

The checks are independent of each other (:mod:`mlflowctl.core.checks`), so whatever
is broken, the rest is reported.
"""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from mlflowctl import stores
from mlflowctl.access import declared
from mlflowctl.core import service
from mlflowctl.core.checks import SECONDS, Check, Finding
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.errors import ControlError
from mlflowctl.core.process import run

DATABASE, VOLUME, SPACE, READY, PUBLIC = "database", "volume", "free-space", "ready", "public-url"
LEAST_BYTES = 64 << 20


def mlflow_services(instance: Instance) -> tuple[str, ...]:
    """The two units of MLflow: REST and ASGI."""
    return f"{instance.unit}.service", f"{instance.unit}-asgi.service"


def checks(config: Config) -> list[Check]:
    """All of them, causes first."""
    storage = (DATABASE, VOLUME)
    served = (*mlflow_services(config.instance), *storage)
    found = [
        Check(DATABASE, lambda: _database(config)),
        Check(VOLUME, lambda: _volume(config)),
        Check(SPACE, lambda: _check_space(config)),
        Check(f"{config.instance.unit}.service", lambda: _mlflow(config), storage),
    ]
    if declared.settings().exists():
        found.append(Check("nginx.service", lambda: _nginx(declared.load().units)))
        found.append(Check(PUBLIC, lambda: _public(declared.load()), ("nginx.service", *served)))
    return [*found, Check(READY, lambda: _ready(config), served)]


def states(units: Sequence[str]) -> dict[str, dict[str, str]]:
    """The state of units as systemd shows it, by name."""
    names = "Id,LoadState,UnitFileState,ActiveState,SubState,NRestarts"
    shown = run(["systemctl", "show", f"--property={names}", *units], timeout=SECONDS / 2).stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    return {block["Id"]: block for block in blocks if "Id" in block}


def _unit(name: str, state: dict[str, str], idle: bool = False, causes: tuple[str, ...] = ()) -> list[Finding]:
    """What is wrong with a unit that should run.

    Args:
        name: of the unit.
        state: as :func:`states` gives it.
        idle: it may be stopped, because a socket starts it.
        causes: subjects whose problem would explain it.
    """
    active, sub = state.get("ActiveState", "unknown"), state.get("SubState", "")
    see = f"journalctl -u {name}"
    if active in ("active", "reloading", "deactivating") or (idle and active == "inactive"):
        return []
    if active == "activating" and sub != "auto-restart" and state.get("NRestarts", "0") == "0":
        return [Finding(name, f"{name} is starting", causes, transient=True)]
    if active == "activating":
        return [Finding(name, f"{name} keeps restarting: {see}", causes)]
    if active == "failed":
        return [Finding(name, f"{name} has failed: {see}", causes)]
    return [Finding(name, f"{name} is not running: systemctl start {name}", causes)]


def _database(config: Config) -> list[Finding]:
    stores.database.of(config).check()
    return []


def _volume(config: Config) -> list[Finding]:
    stores.artifacts.of(config).check()
    return []


def _mlflow(config: Config) -> list[Finding]:
    # A restore stops and starts them.
    if config.recovery.closed_file.exists():
        return []
    main, asgi = mlflow_services(config.instance)
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
    if config.recovery.closed_file.exists():
        return []
    try:
        service.get(config.instance, "/ready", service.socket_path(config.instance), seconds=SECONDS / 2)
    except ControlError as error:
        _, _, body = str(error).partition("503: ")
        try:
            failed = [name for name, result in json.loads(body)["checks"].items() if result != "ok"]
        except (ValueError, KeyError, AttributeError, TypeError):
            raise error from None
        raise ControlError(f"MLflow is not ready: {', '.join(failed)} failed") from error
    return []


def _public(proxy: declared.Access) -> list[Finding]:
    """A request as clients send it, to this host's own nginx: TLS, nginx, MLflow."""
    url = urlsplit(proxy.public_url)
    context = ssl.create_default_context(cafile=str(proxy.ca) if proxy.ca else None)
    # nginx checks the name in the Host header. Clients resolve it; this host may not be able to.
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
    # 400: nginx answers, and requires a client certificate, which this request has not.
    if status not in (200, 400, 429):
        raise ControlError(f"{proxy.public_url}/health answers {status}")
    return []


def free_space(config: Config) -> dict[str, int]:
    """Free bytes by directory: the artifact volume, the staging area of dumps, the database."""
    free = {}
    artifacts, database = stores.artifacts.of(config), stores.database.of(config)
    for path in (*artifacts.directories, config.instance.state_path, *database.directories):
        try:
            free[str(path)] = shutil.disk_usage(path).free
        except OSError:
            continue
    return free


def _check_space(config: Config) -> list[Finding]:
    if problem := stores.artifacts.of(config).full():
        return [Finding(SPACE, problem)]
    short = [f"{path} has {free >> 20} MiB free" for path, free in free_space(config).items() if free < LEAST_BYTES]
    return [Finding(SPACE, f"{' and '.join(short)}: free some space")] if short else []
