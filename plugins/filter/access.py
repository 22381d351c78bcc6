"""The role that each endpoint requires: the rules of the proxy applied to the endpoints of the installed release.

An endpoint is ``METHOD /path`` with parameters as ``*``. A rule is the same,
with ``{api}`` for any of MLflow's four prefixes. They fit if they are equal:
no rule opens a path that it does not spell out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any, TypedDict

ROLES = ("viewer", "editor", "admin")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PREFIX = re.compile(r"/(ajax-)?api/[23][.]0")
ARTIFACTS = "/mlflow-artifacts/"
RULE = re.compile(rf"({'|'.join(METHODS)}) (/|\{{api\}}/)[^ ]*")


class Entry(TypedDict):
    """An endpoint and the lowest role that may use it."""

    endpoint: str
    role: str


def _operation(endpoint: str) -> str:
    return re.sub(r"<[^>]*>", "*", PREFIX.sub("{api}", endpoint, count=1))


def access_problems(rules: Any) -> list[str]:
    """All problems of rules, as sentences."""
    if not isinstance(rules, dict):
        return ["give lists of endpoints, by role"]
    problems = [
        f"there is no role {role!r}: use viewer or editor; admins reach everything"
        for role in set(rules) - {"viewer", "editor"}
    ]
    for role, endpoints in rules.items():
        if not isinstance(endpoints or [], list):
            problems.append(f"{role} has {endpoints!r}: write a list of endpoints")
            continue
        twice = sorted({str(one) for one in endpoints or [] if endpoints.count(one) > 1})
        problems += [f"{one!r} of {role} is listed twice: keep one" for one in twice]
        problems += [
            f"{endpoint!r} of {role} is not an endpoint: write method and path, as in 'POST {{api}}/mlflow/runs/delete'"
            for endpoint in endpoints or []
            if not RULE.fullmatch(str(endpoint))
        ]
    return problems


def rule_problems(rules: dict[str, list[str]], endpoints: list[str]) -> list[str]:
    """Rules that match no endpoint and would have no effect, as sentences.

    Args:
        rules: lists of endpoints by role, already found to be well written.
        endpoints: ``METHOD /path`` of a release; none if they are not known.
    """
    known = sorted({_operation(endpoint) for endpoint in endpoints})
    problems = []
    for role, endpoint in ((role, endpoint) for role, listed in rules.items() for endpoint in listed or []):
        if known and endpoint not in known:
            near = difflib.get_close_matches(_operation(endpoint), known, n=1)
            fix = f"did you mean {near[0]!r}?" if near else "docs/reference/endpoints.md lists them"
            problems.append(f"{endpoint!r} of {role} is not an endpoint of this release: {fix}")
    return problems


def access_table(endpoints: list[str], rules: dict[str, list[str]], more: dict[str, list[str]]) -> list[Entry]:
    """Each endpoint with the lowest role that may use it.

    Args:
        endpoints: ``METHOD /path`` of the installed release, parameters as
            ``<name>``, those that hold slashes as ``<path:name>``.
        rules: endpoints by role; one that stands nowhere is the admins'.
        more: as ``rules``; where both name an endpoint, this counts.

    Returns:
        In the order of ``endpoints``.
    """
    roles = {endpoint: role for source in (rules, more) for role in source for endpoint in source[role] or []}
    return [{"endpoint": endpoint, "role": roles.get(_operation(endpoint), "admin")} for endpoint in endpoints]


def access_map(table: list[Entry]) -> list[Entry]:
    """The entries of nginx's ``map`` of ``METHOD /path`` to role.

    Endpoints without parameters are exact entries, which nginx finds first,
    by hashing. The others become one regular expression for each operation;
    nginx uses the first match, so the more specific ones come first. The admins' are
    among them: a parameter that may contain slashes would otherwise open the paths
    below it. Artifacts come before all others, which
    they have no path in common with: where nginx does all the work itself, sixty
    expressions that cannot match are a part of it.
    """
    exact = [entry for entry in table if "<" not in entry["endpoint"]]
    grouped: dict[tuple[str, str, str], set[str]] = {}
    for entry in table:
        if "<" in entry["endpoint"]:
            method, path = entry["endpoint"].split(" ")
            found = PREFIX.match(path)
            prefix = found.group() if found else ""
            grouped.setdefault((method, path.removeprefix(prefix), entry["role"]), set()).add(re.escape(prefix))
    patterns = sorted(grouped, key=lambda key: (not key[1].startswith(ARTIFACTS), -_spelt_out(key[1]), key))
    return exact + [
        {"endpoint": f"~^{key[0]} ({'|'.join(sorted(grouped[key]))}){_regex(key[1])}$", "role": key[2]}
        for key in patterns
    ]


def access_opened(endpoints: list[str], rules: dict[str, list[str]], more: dict[str, list[str]]) -> list[Entry]:
    """What ``more`` lets viewers reach and ``rules`` do not, as :func:`access_map`: it may change things all the same.

    Args:
        endpoints: as for :func:`access_table`.
        rules: likewise.
        more: likewise.
    """
    before = access_table(endpoints, rules, {})
    now = access_table(endpoints, rules, more)
    return access_map([new for old, new in zip(before, now, strict=True) if new["role"] == "viewer" != old["role"]])


def _spelt_out(path: str) -> int:
    """How many parts of a path are not parameters."""
    return sum(1 for part in path.split("/") if part and not part.startswith("<"))


def _regex(path: str) -> str:
    pieces = re.split(r"(<[^>]*>)", path)
    return "".join(
        (".+" if piece.startswith("<path:") else "[^/]+") if piece.startswith("<") else re.escape(piece)
        for piece in pieces
    )


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file by name."""
        return {
            "access_problems": access_problems,
            "rule_problems": rule_problems,
            "access_table": access_table,
            "access_map": access_map,
            "access_opened": access_opened,
        }
