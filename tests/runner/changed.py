"""The tests that a change of files concerns: unit tests by their imports, scenarios by their descriptions."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from tests.runner.scenarios import ROOT, Run, Scenario

UNIT = "tests/unit"
# Where modules are imported from.
PLACES = ("", "files", "files/mlflowctl")
# Files that no unit test reads.
UNREAD = {"tests/host", "tests/scenarios", "tests/demo", "tests/engine", "examples", ".ci"}


def changed_files(base: str, root: Path = ROOT) -> list[str]:
    """Paths that differ from a commit, in the work tree, too."""
    lines: list[str] = []
    for command in (["diff", "--name-only", base], ["ls-files", "--others", "--exclude-standard"]):
        lines += subprocess.run(["git", *command], cwd=root, check=True, capture_output=True, text=True).stdout.split()
    return sorted(set(lines))


@functools.cache
def _imported(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return frozenset(found)


@functools.cache
def _file(module: str, root: Path) -> str | None:
    for place in PLACES:
        stem = PurePosixPath(place, *module.split("."))
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            if (root / path).is_file():
                return path
    return None


def imports(path: str, root: Path = ROOT) -> set[str]:
    """All files of the project that a module imports, and those that they import."""
    found: set[str] = set()
    pending = [path]
    while pending:
        for module in _imported(root / pending.pop()):
            file = _file(module, root)
            if file is not None and file not in found:
                found.add(file)
                pending.append(file)
    return found


def below(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of these, or below one of them."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def unit_tests(changed: Iterable[str], root: Path = ROOT) -> list[str]:
    """The unit tests that a change concerns.

    A module concerns the tests that import it. Other files are read by the tests of house rules, which are quick:
    they concern all.
    """
    paths = [path for path in changed if not below(path, UNREAD)]
    tests = {str(path.relative_to(root)) for path in (root / UNIT).rglob("test_*.py")}
    found = tests & set(paths)
    for path in set(paths) - found:
        if not path.endswith(".py") or path.endswith("conftest.py"):
            return [UNIT]
    sources = set(paths) - found
    return sorted(found | {test for test in tests if imports(test, root) & sources})


def scenario_tests(changed: Iterable[str], scenarios: Mapping[str, Scenario]) -> dict[str, Run]:
    """The run of each scenario that a change concerns, on the release of its first run in `make test`.

    A test file concerns itself; another file beside tests, the directory's tests; else the longest path
    of a description's ``concerns`` that a file is below.
    """
    found: dict[str, set[str]] = {}
    for path in changed:
        below_tests = path.removeprefix("tests/")
        name = PurePosixPath(path).name
        if below(path, ["tests/host"]):
            found.setdefault("default", set()).add(below_tests if name.startswith("test_") else "host")
        elif below(path, ["tests/scenarios"]) and len(PurePosixPath(path).parts) > 3:
            folder = PurePosixPath(path).parts[2]
            inside = below_tests if name.startswith("test_") else str(PurePosixPath(below_tests).parent)
            found.setdefault(folder, set()).add(inside)
        for scenario_name, scenario in scenarios.items():
            matching = [prefix for prefix in scenario.concerns if below(path, [prefix])]
            if matching:
                found.setdefault(scenario_name, set()).update(scenario.concerns[max(matching, key=len)])
    return {
        name: Run(scenarios[name].test[0].suite, tests=_least(tests), brief=True)
        for name, tests in sorted(found.items())
        if name in scenarios
    }


def _least(tests: Iterable[str]) -> tuple[str, ...]:
    """Without paths in a directory that is in the list, too, and without deleted ones."""
    wanted = {test for test in tests if list((ROOT / "tests").glob(test))}
    return tuple(sorted(test for test in wanted if not any(below(test, [other]) for other in wanted - {test})))
