"""The short form of the day; `make soak` runs the long one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.day.__main__ import main


def test_a_short_day(host: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Each part is stopped and killed, the volume is missing: all recover, and `status` never prints a traceback."""
    variables = host.ansible.get_variables()
    inventory = Path(os.environ["MOLECULE_INVENTORY_FILE"])
    name, length = variables["inventory_hostname"], "" if "SOAK_POINTS" in os.environ else "--short"
    given = [name, str(inventory), variables["mlflow_public_url"], "--login", "ada:correct-horse-battery"]
    given += ["--ca", str(inventory.parent / "client" / f"{name}-ca.crt"), *([length] if length else ["--write"])]
    wrong = main(given)
    message = capsys.readouterr()
    print(message.out)
    assert wrong == 0, message.err + message.out
