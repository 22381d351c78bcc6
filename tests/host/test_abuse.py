"""The server under attack: other clients can work, nothing is lost, and nothing is written where it should not be.

One short turn of every attack of tests/abuse. In `make soak` it lasts ``ABUSE_SECONDS``, and the honest client's latency counts.
"""

from __future__ import annotations

import json
import os
import secrets
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.abuse.runner import abuse, faults
from tests.abuse.table import KINDS
from tests.abuse.target import Target
from tests.abuse.watch import files

SECONDS = float(os.environ.get("ABUSE_SECONDS", "0"))
RESULT = os.environ.get("ABUSE_RESULT", "")


@pytest.fixture(scope="module")
def target(server: Any) -> Target:
    """The server, with a login of each role; one server of each release is enough."""
    if server.unit != "mlflow":
        pytest.skip("the server as it is installed by default is abused")
    users = {user.get("role", "editor"): user for user in server["mlflow_users"]}
    logins = {role: (user["name"], user.get("password", "second-secret-word")) for role, user in users.items()}
    return Target(server.url, server.ca, logins, server.name)


@pytest.fixture(scope="module")
def result(target: Target) -> dict[str, Any]:
    """The result of all attacks; the inputs are random, and the seed is in the result."""
    found = abuse(target, SECONDS, int(os.environ.get("ABUSE_SEED", secrets.randbits(32))))
    if RESULT:
        Path(RESULT).write_text(json.dumps(found, indent=2) + "\n")
    return found


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_one_client_stops_nobody_else(result: dict[str, Any], kind: str) -> None:
    """Each attack gets the expected answers; the honest client sees no error, and no worker is lost."""
    entries = [entry for entry in result["attacks"] if entry["attack"] == kind]
    assert entries
    for entry in entries:
        assert entry["honest"]["requests"] > 0
        assert entry["faults"] == [], f"seed {entry['seed']}: {entry['answers']}"


def test_a_point_is_verified_afterwards(result: dict[str, Any]) -> None:
    """It contains everything that is in the store."""
    assert result["recovery"]["point"]
    assert result["recovery"]["faults"] == []


def test_nothing_is_written_outside_of_its_place(result: dict[str, Any]) -> None:
    """The root disk is unchanged, except for the server's directories."""
    assert result["files_outside"] == []
    assert result["bodies_kept"] == []


def test_what_is_written_outside_would_be_seen(target: Target) -> None:
    """The check of the root disk finds new files, and those whose content has changed."""
    planted = [
        f"{place}/abuse" for place in ("/etc/cron.d", "/usr/local/bin", "/root", "/opt/mlflow", "/var/lib/mlflow-proxy")
    ]
    seen = [files(target)]
    try:
        for word in ("one", "two"):
            target.shell(f"for path in {' '.join(planted)}; do echo {word} > $path; done")
            seen.append(files(target))
    finally:
        target.shell(f"rm -f {' '.join(planted)}")
    for before, after in pairwise(seen):
        assert sorted(line.split()[0] for line in after - before) == sorted(planted)


@pytest.mark.skipif(not SECONDS, reason="only in make soak: latency is no matter of a short test on a busy machine")
def test_the_honest_client_hardly_waits(result: dict[str, Any]) -> None:
    """Its 95th percentile is at most three times that of an idle server, whatever the attack."""
    assert faults(result, timing=True) == []
