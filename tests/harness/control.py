"""mlflowctl on the host under test."""

from __future__ import annotations

import json
from typing import Any


def control(host: Any, arguments: str, expect: int = 0) -> Any:
    """Run mlflowctl; returns what it printed, parsed.

    Args:
        host: the scenario's host.
        arguments: as in a shell.
        expect: the exit code.
    """
    done = host.run(f"mlflowctl {arguments} --json")
    assert done.rc == expect, f"{done.rc}: {done.stdout}\n{done.stderr}"
    return json.loads(done.stdout or "null")
