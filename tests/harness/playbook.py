"""Run the project's own playbook the way an operator does, for tests."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[2]


def run_playbook(
    variables: dict[str, Any] | None = None,
    arguments: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    playbook: str = "site.yml",
) -> subprocess.CompletedProcess[str]:
    """Run a playbook against the scenario's host, at most ten minutes.

    Args:
        variables: extra variables, which override the scenario's.
        arguments: further arguments of ansible-playbook.
        environment: further environment variables.
        playbook: path below the project.
    """
    given = os.environ | (environment or {})
    command = ["ansible-playbook", "-i", given["MOLECULE_INVENTORY_FILE"], str(ROOT / playbook), *arguments]
    if variables:
        command += ["-e", json.dumps(variables)]
    settings = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "plugins" / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "warm",
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


def ask(host: Any, name: str, password: str, path: str = "/ready", **request: Any) -> requests.Response:
    """Send a request to the provisioned server, through its public URL, with verification.

    Args:
        host: the scenario's host.
        name: name of a user.
        password: the user's password.
        path: of the URL.
        request: further arguments of the request; the default method is GET.
    """
    variables = host.ansible.get_variables()
    inventory = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(inventory / "client" / f"{variables['inventory_hostname']}-ca.crt")
        wanted = {"method": "GET", "url": variables["mlflow_public_url"] + path} | request
        return session.request(**wanted, auth=(name, password), timeout=30)
