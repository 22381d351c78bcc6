"""Clients get the answers of a stock server of the same release, except for the listed differences."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.harness.control import control
from tests.stock.differences import DIFFERENCES, Difference

ASK = Path(__file__).parents[1] / "stock" / "ask.py"


@pytest.fixture(scope="module")
def answers(host: Any, server: Any) -> Iterator[dict[str, dict[str, Any]]]:
    """What both servers answered to each question; afterwards the stock one, and what was created on ours, are gone."""
    settings = {
        "url": server.url,
        "login": server.login,
        "certificates": Path(server.ca).read_text(),
        "names": f"compared-{uuid.uuid4().hex}",
    }
    unit = f"stock-beside-{server.unit}"
    command = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={unit}"]
    command += [f"--uid={server['mlflow_user']}", "--property=PrivateTmp=yes", "--property=RuntimeMaxSec=280"]
    command += [f"--property=RuntimeDirectory={unit}", f"--property=WorkingDirectory=/run/{unit}"]
    command += [f"{server['mlflow_root_path']}/current/bin/python", "-W", "ignore", "-"]
    # Imports from __future__ must be the first statement.
    begin = "from __future__ import annotations\n"
    script = ASK.read_text().replace(begin, f"{begin}SETTINGS = {settings!r}\n", 1)
    try:
        done = host.run(f"{shlex.join(command)} <<'PYTHON'\n{script}\nPYTHON")
        assert done.rc == 0, done.stderr[-4000:]
        yield json.loads(done.stdout.splitlines()[-1])
    finally:
        host.run(f"systemctl stop {unit}.service")
        # Deleted experiments would stay in the tables.
        control(host, "gc --older-than 0s")
    search = {"filter": f"name LIKE '{settings['names']}%'", "view_type": "ALL", "max_results": 1}
    address = f"{server.url}/api/2.0/mlflow/experiments/search"
    left = requests.post(address, json=search, auth=server.login, verify=server.ca, timeout=60)
    assert left.ok, left.text
    assert "experiments" not in left.json()


def listed(question: str) -> list[Difference]:
    """The listed differences of a question."""
    return [item for item in DIFFERENCES if any(fnmatchcase(question, pattern) for pattern in item.questions)]


def test_only_the_listed_differences_are_there(answers: dict[str, dict[str, Any]]) -> None:
    """Status, body and bytes of each answer are the same, or as the list says."""
    wrong = []
    for question, given in answers.items():
        stock, here = given["stock"], given["here"]
        known = listed(question)
        if stock == here and not known:
            continue
        expected = [(item.stock, item.here) for item in known]
        if stock == here or expected != [(stock[0], here[0])]:
            wrong.append(f"{question}: stock {stock}, here {here}, listed {expected}"[:900])
    assert not wrong, f"{len(wrong)} of {len(answers)}:\n" + "\n".join(wrong)


def test_no_listed_difference_is_about_nothing(answers: dict[str, dict[str, Any]]) -> None:
    """Each pattern of the list names a question that is asked."""
    for item in DIFFERENCES:
        for pattern in item.questions:
            assert any(fnmatchcase(question, pattern) for question in answers), pattern
