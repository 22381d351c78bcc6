"""Run the project's own playbook the way an operator does, for tests."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run_playbook(
    variables: dict[str, Any] | None = None,
    arguments: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run site.yml against the scenario's host, at most ten minutes.

    Args:
        variables: extra variables, which win over the scenario's.
        arguments: further arguments of ansible-playbook.
        environment: further environment variables.
    """
    inventory = Path(os.environ["MOLECULE_INVENTORY_FILE"])
    command = ["ansible-playbook", "-i", str(inventory), str(ROOT / "site.yml"), *arguments]
    if variables:
        command += ["-e", json.dumps(variables)]
    settings = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
        "ANSIBLE_FILTER_PLUGINS": str(ROOT / "plugins" / "filter"),
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOLOR": "1",
    }
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **settings, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        start_new_session=True,
    )
