"""Many mistakes in one run: a host of the inventory for each, all of them the same container."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.harness.playbook import run_playbook
from tests.scenarios.refused.cases import Case

GROUPS = ("mlflow_db", "mlflow_nodes")
# Several hosts in a group are refused by site.yml before this.
PLAYBOOK = "playbooks/check.yml"
# Without it the first refusal would end the run for all.
ENVIRONMENT = {"ANSIBLE_ANY_ERRORS_FATAL": "false", "ANSIBLE_FORKS": "4", "ANSIBLE_DISPLAY_OK_HOSTS": "false"}
# The beginning of a host's message, and of the next output: at the beginning of a line.
FAILED = re.compile(r"^(?:fatal|failed): \[(?P<host>[\w-]+)\].*?(?=^(?:\S|$))", re.MULTILINE | re.DOTALL)


def inventory(given: dict[str, Any], cases: list[Case], certificates: Path) -> dict[str, Any]:
    """An inventory with a host for each case.

    Args:
        given: variables of the scenario's host.
        cases: each with its variables.
        certificates: directory that stands for ``{certificates}`` in a variable.
    """
    shared = {key: value for key, value in given.items() if key.startswith(("mlflow_", "ansible_connection"))}
    shared["ansible_host"] = given["inventory_hostname"]
    hosts = {
        name(number): {
            key: value.replace("{certificates}", str(certificates)) if isinstance(value, str) else value
            for key, value in variables.items()
        }
        for number, (_, variables, _) in enumerate(cases)
    }
    return {"all": {"vars": shared, "children": {group: {"hosts": hosts} for group in GROUPS}}}


def name(number: int) -> str:
    """The host of a case."""
    return f"case-{number}"


def refuse(given: dict[str, Any], cases: list[Case], certificates: Path) -> tuple[dict[str, str], str]:
    """Run all cases; returns each host's messages, with one space between words, and the whole output."""
    file = certificates / "hosts.json"
    file.write_text(json.dumps(inventory(given, cases, certificates)))
    done = run_playbook(environment=ENVIRONMENT | {"MOLECULE_INVENTORY_FILE": str(file)}, playbook=PLAYBOOK)
    printed = done.stdout + done.stderr
    messages: dict[str, str] = {}
    for task in re.split(r"^(?=TASK )", done.stdout + "\n", flags=re.MULTILINE):
        # If the value is a secret, only the task's name shows the problem.
        name_of_task = task.partition("\n")[0]
        for found in FAILED.finditer(task):
            # A message is printed as YAML.
            words = " ".join(f"{name_of_task} {found[0]}".split()).replace("''", "'")
            messages[found["host"]] = f"{messages.get(found['host'], '')}{words}\n"
    return messages, printed
