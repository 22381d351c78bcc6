"""The sandbox of the units that serve requests, as systemd reports it for the loaded unit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# Of each unit.
SANDBOX = {
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "DevicePolicy": "closed",
    "ProtectProc": "invisible",
    "ProcSubset": "pid",
    "NoNewPrivileges": "yes",
    "AmbientCapabilities": "",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "RemoveIPC": "yes",
    "KeyringMode": "private",
    "SystemCallArchitectures": "native",
}
# Those that need neither a network nor a privilege: all but nginx, which binds the ports.
CLOSED = SANDBOX | {
    "PrivateNetwork": "yes",
    "PrivateUsers": "yes",
    "CapabilityBoundingSet": "",
    "MemoryDenyWriteExecute": "yes",
    "RestrictAddressFamilies": "AF_UNIX",
}


def shown(host: Any, unit: str, names: Iterable[str]) -> dict[str, str]:
    """Properties of a unit, as systemd reports them."""
    lines = host.check_output(f"systemctl show --property {','.join(names)} {unit}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def exposure(host: Any, unit: str) -> float:
    """The exposure level of a unit by systemd-analyze: 0 is best."""
    message = host.run(f"systemd-analyze security --no-pager {unit}").stdout
    rating = re.search(r"Overall exposure level for \S+: ([0-9.]+)", message)
    assert rating is not None, message
    return float(rating[1])
