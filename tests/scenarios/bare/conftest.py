"""A host for tests that run the playbook themselves: not provisioned until the first test that needs a server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.playbook import run_playbook


@pytest.fixture(scope="module", autouse=True)
def provisioned(request: pytest.FixtureRequest, host: Any) -> None:
    """Each file can also run alone; test_killed_plays begins with a bare host."""
    if request.path.stem == "test_killed_plays" or host.file("/etc/mlflow").exists:
        return
    done = run_playbook()
    assert done.returncode == 0, done.stdout[-4000:]
