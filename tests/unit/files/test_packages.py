"""Our packages import downward only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# From the lowest; packages in one line do not import each other.
LAYERS = {
    "mlflow_host": [["core"], ["release"], ["database", "artifacts"], ["patches"], ["service"]],
    "mlflowctl": [["core"], ["stores"], ["access"], ["recovery"], ["upgrade"], ["operations"], ["cli"]],
}
TREES = {"mlflow_host": ROOT / "files" / "mlflow_host", "mlflowctl": ROOT / "files" / "mlflowctl" / "mlflowctl"}


def imported(path: Path, top: str) -> set[str]:
    """The packages of the same tree that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return {parts[1] for name in found if (parts := name.split("."))[0] == top and len(parts) > 1}


@pytest.mark.parametrize("top", LAYERS)
def test_packages_import_downward_only(top: str) -> None:
    """And every module is in one of them."""
    height = {package: level for level, packages in enumerate(LAYERS[top]) for package in packages}
    wrong = []
    for path in sorted(TREES[top].rglob("*.py")):
        package, *_ = path.relative_to(TREES[top]).parts
        if path.parent == TREES[top]:
            continue
        assert package in height, f"{path} is in no package"
        for other in (imported(path, top) & set(height)) - {package}:
            if height[other] >= height[package]:
                wrong.append(f"{path.relative_to(ROOT)} imports {other}")
    assert wrong == []
