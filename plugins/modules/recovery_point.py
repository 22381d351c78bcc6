#!/usr/bin/python
"""The description of a recovery point, read before anything is installed."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.converters import to_text

DOCUMENTATION = """
module: recovery_point
short_description: What a recovery point says of itself, read before anything is installed
description:
  - Reads the manifest of one recovery point, some kilobytes. Changes nothing, so it runs in check mode, too.
  - A host without restic gets it, and rclone if the location needs that, out of the distribution's packages, while
    as this takes.
  - Looks for a point as C(mlflowctl restore) does, and leaves it to that to refuse what is none.
options:
  location:
    description: Of the repository, as restic writes it.
    type: str
    required: true
  password:
    description: Of the repository. Empty if the host has it in C(password_file).
    type: str
    default: ""
  password_file:
    description: A file on the host.
    type: path
    required: true
  environment:
    description: The credentials of the storage.
    type: dict
    default: {}
  point:
    description: C(latest), a name or the beginning of one, or a time. Empty is the latest.
    type: str
    default: ""
  manifest:
    description: Path of the manifest in the point.
    type: path
    required: true
author: The project's contributors
"""

RETURN = """
name:
  description: The point's name.
  type: str
  returned: if it could be read
postgresql:
  description: Major version of the PostgreSQL that the point was taken from.
  type: int
  returned: if it could be read
unknown:
  description: Why it could not be read.
  type: str
  returned: otherwise
"""

Run = Callable[..., str]
# Timeout for a storage or a package mirror, in seconds.
ANSWER_SECONDS = 90


class Unknown(Exception):
    """It cannot be read: why."""


def chosen(snapshots: list[dict[str, Any]], wanted: str) -> tuple[str, str]:
    """The requested point: its name and its snapshot's ID.

    Args:
        snapshots: as restic lists them, with those that only say a point's state.
        wanted: latest, a name or the beginning of one, a time.

    Raises:
        Unknown: none, or more than one.
    """
    points: list[dict[str, Any]] = []
    states: dict[str, bool] = {}
    for snapshot in sorted(snapshots, key=lambda snapshot: _moment(snapshot["time"])):
        tags = snapshot.get("tags") or []
        name = next((tag.partition(":")[2] for tag in tags if tag.startswith("point:")), "")
        if name and "mlflow-mark" in tags:
            states[name] = "verified" in tags
        elif name and "mlflow" in tags:
            points.append({"name": name, "id": snapshot["id"], "at": snapshot["time"], "verified": "verified" in tags})
    verified = [point for point in points if states.get(point["name"], point["verified"])]
    found = [point for point in points if point["name"].startswith(wanted) or point["id"].startswith(wanted)]
    if wanted in ("", "latest"):
        found = verified[-1:]
    elif not found:
        try:
            moment = datetime.fromisoformat(wanted).astimezone()
        except ValueError as error:
            raise Unknown(f"there is no recovery point {wanted!r}") from error
        found = [point for point in verified if _moment(point["at"]) <= moment][-1:]
    exact = [point for point in found if point["name"] == wanted]
    if len(exact or found) != 1:
        raise Unknown(f"{len(found)} recovery points fit {wanted or 'latest'!r}")
    (point,) = exact or found
    return point["name"], point["id"]


def _moment(text: str) -> datetime:
    """restic's time, of whose fraction Python takes six digits."""
    head, point, tail = text.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    zone = (tail[len(digits) :] if point else "").replace("Z", "+00:00")
    return datetime.fromisoformat(
        head.replace("Z", "+00:00") + (f".{digits[:6]:0<6}{zone}" if point else "")
    ).astimezone()


def read_point(run: Run, wanted: str, manifest: str) -> dict[str, Any]:
    """Name and version of PostgreSQL of a point.

    Args:
        run: runs restic with these arguments; returns what it prints.
        wanted: as for :func:`chosen`.
        manifest: path in the point.

    Raises:
        Unknown: it cannot be read.
    """
    try:
        listed = json.loads(run("snapshots", "--json", "--tag=mlflow", "--tag=mlflow-mark")) or []
        name, snapshot = chosen(listed, wanted)
        facts = json.loads(run("dump", snapshot, manifest))
        return {"name": name, "postgresql": int(facts["postgresql"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unknown(f"the repository's answer is not valid: {error}") from error


def program(name: str, folder: str) -> str:
    """A program of the host, or one from the distribution's package, unpacked in a directory.

    Raises:
        Unknown: there is none.
    """
    if here := shutil.which(name):
        return here
    # A fresh cloud image has no package lists.
    for command in (["apt-get", "download", name], ["apt-get", "--quiet", "update"], ["apt-get", "download", name]):
        if not glob.glob(f"{folder}/{name}_*.deb"):
            _run(command, folder, dict(os.environ), fine=True)
    for package in glob.glob(f"{folder}/{name}_*.deb"):
        _run(["dpkg-deb", "--extract", package, folder], folder, dict(os.environ))
    found = f"{folder}/usr/bin/{name}"
    if not os.path.exists(found):
        raise Unknown(f"the package {name} cannot be downloaded")
    return found


def _run(command: list[str], folder: str, environment: dict[str, str], fine: bool = False) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_SECONDS,
            check=False,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise Unknown(f"{command[0]}: {error}") from error
    if done.returncode and not fine:
        raise Unknown(f"{os.path.basename(command[0])}: {to_text(done.stderr, errors='replace').strip()[-500:]}")
    return str(to_text(done.stdout, errors="replace"))


def read(asked: dict[str, Any], folder: str) -> dict[str, Any]:
    """The module's result.

    Args:
        asked: the module's parameters.
        folder: a directory of our own, which goes afterwards.
    """
    restic = program("restic", folder)
    if asked["location"].startswith("rclone:"):
        program("rclone", folder)
    environment = {
        **os.environ,
        **{name: str(value) for name, value in asked["environment"].items()},
        "PATH": f"{os.environ.get('PATH', '/usr/bin:/bin')}:{folder}/usr/bin",
    }
    # A location with a password in it comes by the environment.
    environment.setdefault("RESTIC_REPOSITORY", asked["location"])
    if asked["password"]:
        environment["RESTIC_PASSWORD"] = asked["password"]
    else:
        environment["RESTIC_PASSWORD_FILE"] = asked["password_file"]
    arguments = [restic, "--quiet", "--no-lock", f"--cache-dir={folder}/cache"]
    return read_point(lambda *more: _run([*arguments, *more], folder, environment), asked["point"], asked["manifest"])


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "location": {"type": "str", "required": True},
            "password": {"type": "str", "default": "", "no_log": True},
            "password_file": {"type": "path", "required": True, "no_log": False},
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "point": {"type": "str", "default": ""},
            "manifest": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    # Programs may run from there, which /tmp of a hardened host forbids.
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as folder:
        try:
            module.exit_json(changed=False, **read(module.params, folder))
        except Unknown as error:
            module.exit_json(changed=False, unknown=str(error))


if __name__ == "__main__":
    main()
