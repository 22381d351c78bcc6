"""A tree of Python sources for a host, in a directory that is named by its content; and the patches in it."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

# Of the digest, in a path on the host.
DIGITS = 12


class Tree(TypedDict):
    """Sources by their paths below the tree, and a digest of names and contents."""

    digest: str
    files: dict[str, str]


@cache
def _read(root: str) -> Tree:
    files = {str(path.relative_to(root)): path.read_text() for path in sorted(Path(root).rglob("*.py"))}
    digest = hashlib.sha256("".join(f"{name}\0{text}\0" for name, text in files.items()).encode()).hexdigest()
    return {"digest": digest[:DIGITS], "files": files}


def source_tree(root: str) -> Tree:
    """Read a tree of any depth.

    Args:
        root: its directory on the controller.

    Raises:
        ValueError: there are no sources.
    """
    tree = _read(str(root))
    if not tree["files"]:
        raise ValueError(f"{root} holds no Python sources")
    return tree


def source_files(tree: Tree, destination: str, mark: str) -> dict[str, list[Any]]:
    """Arguments of ``host_files`` to write a tree, with a mark as the last file, which shows that it is complete.

    Args:
        tree: of ``source_tree``.
        destination: directory on the host.
        mark: path of an empty file.
    """
    parents = sorted({str(parent) for name in tree["files"] for parent in Path(destination, name).parents})
    directories = [path for path in parents if path == destination or path.startswith(f"{destination}/")]
    paths = [*(f"{destination}/{name}" for name in tree["files"]), mark]
    return {
        "directories": [{"path": path, "group": "root", "mode": "0755"} for path in directories],
        "files": [{"dest": path, "group": "root", "mode": "0644"} for path in paths],
        "contents": [*tree["files"].values(), ""],
    }


def patch_names(tree: Tree, kind: str) -> list[str]:
    """Names of the patches of MLflow that a tree describes, each by a call of ``Patch`` with literal arguments.

    Args:
        tree: of ``source_tree``.
        kind: ``speed`` or ``safety``.

    Raises:
        ValueError: it describes none of that kind.
    """
    found = []
    for text in tree["files"].values():
        for node in ast.walk(ast.parse(text)) if "Patch(" in text else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Patch":
                given = {one.arg: one.value for one in node.keywords}
                name, its_kind = given.get("name"), given.get("kind")
                if isinstance(its_kind, ast.Name) and its_kind.id == kind.upper() and isinstance(name, ast.Constant):
                    found.append(str(name.value))
    if not found:
        raise ValueError(f"the sources describe no {kind} patch")
    return sorted(found)


class FilterModule:
    """The filters, by name."""

    def filters(self) -> dict[str, Any]:
        """The filters by name."""
        return {"source_tree": source_tree, "source_files": source_files, "patch_names": patch_names}
