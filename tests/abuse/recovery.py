"""After the abuse: a recovery point is taken and verified, contains all of the store, and no operation fails."""

from __future__ import annotations

import json
from typing import Any

from tests.abuse.found import Found
from tests.abuse.names import ROOT
from tests.abuse.rows import CLEAN
from tests.abuse.target import Target

OPERATIONS = ["verify", "gc --dry-run", "orphans list", "status"]


def check(target: Target) -> tuple[Found, str]:
    """Take a point, run every operation that reads rows, and compare; returns the faults, and the point's name."""
    found = Found()
    settings = target.settings
    code, _, message = target.control("backup")
    if code:
        found.fault(f"mlflowctl backup ends with {code}: {_last(message)}")
    _, points, _ = target.control("points")
    last = points[-1] if points else {}
    name = str(last.get("point", ""))
    if code or last.get("state") != "verified":
        found.fault(f"the last recovery point is {last.get('state', 'none')}")
    # They may report a broken row (exit 1), but must not fail.
    for operation in [*OPERATIONS, f"verify {name}"]:
        code, _, message = target.control(operation)
        found.answers[f"{operation.split()[0]} {code}"] += 1
        if code not in (0, 1) or "Traceback" in message:
            found.fault(
                f"mlflowctl {operation.replace(name, 'POINT') if name else operation} ends with {code}: {_last(message)}"
            )
    if name:
        _compare(target, settings, found)
    return found, name


def _compare(target: Target, settings: dict[str, Any], found: Found) -> None:
    """Every file of the store is in the point. Links are not followed, and are no artifacts."""
    store = f"{settings['artifacts']['path']}/store"
    repository = settings["recovery"]["repositories"][0]
    listing = target.on_host(
        "env", f"RESTIC_REPOSITORY={repository['location']}", f"RESTIC_PASSWORD_FILE={repository['password_file']}",
        *("restic", "--no-cache", "--no-lock", "--quiet", "ls", "--json", "--tag", "mlflow", "latest"),
    )  # fmt: skip
    held = set()
    # Names may contain characters that Python treats as the end of a line.
    for line in filter(None, listing.stdout.split("\n")):
        entry = json.loads(line)
        if entry.get("type") == "file" and "/store/" in entry["path"]:
            held.add(entry["path"].partition("/store/")[2])
    # Names may contain any byte but this.
    code = "import json, os, sys; print(json.dumps([os.path.relpath(os.path.join(p, n), sys.argv[1])" + (
        " for p, _, ns in os.walk(sys.argv[1]) for n in ns if not os.path.islink(os.path.join(p, n))]))"
    )
    there = json.loads(target.on_host("python3", "-B", "-c", code, store).stdout)
    missing = [path for path in there if path not in held]
    found.answers["files in the store"] += len(there)
    if missing:
        found.fault(f"{len(missing)} files of the store are not in the point, one of them: {missing[0]!r}")


def _last(message: str) -> str:
    """The last message of an operation, or of an exception in it."""
    lines = message.splitlines() or [""]
    return next((line for line in reversed(lines) if "Error: " in line), lines[-1])[:200]


def clean(target: Target) -> None:
    """Remove unusual names and rows, for the tests that follow on this server."""
    store = f"{target.settings['artifacts']['path']}/store"
    target.shell(
        f"rm -rf {store}/{ROOT} {store}/abuse-links {store}/abuse {store}/.artifact.uploading* {store}/abuse-origin"
    )
    target.on_host("psql", "--quiet", "mlflow", stdin=CLEAN, user="postgres")
