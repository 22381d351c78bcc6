"""The endpoints of each role: the rules, and nginx's map of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.filter.access import access_map, access_opened, access_problems, access_table

ROOT = Path(__file__).parents[4]
RULES = yaml.safe_load((ROOT / "roles/mlflow_access/files/access-rules.yml").read_text())
ENDPOINTS = [
    "GET /",
    "POST /api/2.0/mlflow/runs/search",
    "POST /ajax-api/2.0/mlflow/runs/search",
    "POST /api/2.0/mlflow/runs/create",
    "POST /api/2.0/mlflow/runs/delete",
    "PUT /api/2.0/mlflow-artifacts/artifacts/<path:artifact_path>",
    "DELETE /api/2.0/mlflow-artifacts/artifacts/<path:artifact_path>",
    "GET /api/3.0/mlflow/mcp-servers/<path:name>",
    "GET /api/3.0/mlflow/mcp-servers/<path:name>/new-in-a-later-release",
    "GET /api/3.0/mlflow/traces/<trace_id>",
    "GET /api/3.0/mlflow/traces/new-in-a-later-release",
]


def role_of(request: str, rules: dict[str, list[str]] | None = None) -> str:
    """The role that nginx's map gives to a request: exact entries first, then the first expression that matches."""
    entries = access_map(access_table(ENDPOINTS, RULES, rules or {}))
    for entry in entries:
        if entry["endpoint"] == request:
            return entry["role"]
    for entry in entries:
        if entry["endpoint"].startswith("~") and re.search(entry["endpoint"][1:], request):
            return entry["role"]
    return "admin"


@pytest.mark.parametrize(
    ("request_line", "role"),
    [
        ("GET /", "viewer"),
        ("POST /ajax-api/2.0/mlflow/runs/search", "viewer"),
        ("POST /api/2.0/mlflow/runs/create", "editor"),
        ("POST /api/2.0/mlflow/runs/delete", "admin"),
        ("PUT /api/2.0/mlflow-artifacts/artifacts/1/2/a b%.txt", "editor"),
        ("DELETE /api/2.0/mlflow-artifacts/artifacts/1/2/a", "admin"),
        ("GET /api/3.0/mlflow/mcp-servers/some/name", "viewer"),
        ("GET /api/3.0/mlflow/traces/tr-1", "viewer"),
        # a release with more endpoints: a new one is not open because a similar one is
        ("GET /api/3.0/mlflow/mcp-servers/some/name/new-in-a-later-release", "admin"),
        ("GET /api/3.0/mlflow/traces/new-in-a-later-release", "admin"),
        # a release without the endpoint: a rule alone opens nothing
        ("POST /api/2.0/mlflow/runs/update", "admin"),
        ("GET /api/3.0/mlflow/traces/tr-1/more", "admin"),
        ("POST /x/api/2.0/mlflow/runs/search", "admin"),
    ],
)
def test_requests_need_their_role(request_line: str, role: str) -> None:
    """Reads are the viewers', changes the editors', and the rest the admins'."""
    assert role_of(request_line) == role


def test_operators_may_decide_otherwise() -> None:
    """Their rules override ours, and change nothing else."""
    rules = {"editor": ["POST {api}/mlflow/runs/delete"], "viewer": None}
    assert access_problems(rules) == []
    assert role_of("POST /api/2.0/mlflow/runs/delete", {"editor": rules["editor"] or []}) == "editor"
    assert role_of("POST /api/2.0/mlflow/runs/create", {"editor": rules["editor"] or []}) == "editor"


def test_what_operators_open_to_viewers_is_known() -> None:
    """Operations that were opened to viewers are still in the audit log."""
    more = {"viewer": ["POST {api}/mlflow/runs/create", "GET /"], "editor": ["POST {api}/mlflow/runs/search"]}
    assert access_opened(ENDPOINTS, RULES, {}) == []
    assert access_opened(ENDPOINTS, RULES, more) == [{"endpoint": "POST /api/2.0/mlflow/runs/create", "role": "viewer"}]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([], "lists of endpoints, by role"),
        ({"root": ["GET /"]}, "no role 'root'"),
        ({"admin": ["GET /"]}, "admins reach everything"),
        ({"viewer": ["/"]}, "is not an endpoint"),
        ({"viewer": ["GET {api}/mlflow/runs/get x"]}, "is not an endpoint"),
        ({"viewer": ["GET mlflow"]}, "is not an endpoint"),
        ({"viewer": [1]}, "is not an endpoint"),
    ],
)
def test_bad_rules_are_named(rules: Any, message: str) -> None:
    """Each fault gets a sentence."""
    assert message in "; ".join(access_problems(rules))


def test_the_rules_themselves() -> None:
    """They are well-formed and unique."""
    assert access_problems(RULES) == []
    every = RULES["viewer"] + RULES["editor"]
    assert len(every) == len(set(every))
