"""Trees of sources for hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.filter.sources import patch_names, source_files, source_tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A package in a package, and another file."""
    (tmp_path / "inner" / "deeper").mkdir(parents=True)
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "inner" / "deeper" / "one.py").write_text("ONE = 1\n")
    (tmp_path / "inner" / "one.pyc").write_text("compiled")
    return tmp_path


def test_a_tree_of_any_depth_is_shipped(root: Path) -> None:
    """Each directory, each source with its content, and the mark last."""
    found = source_files(source_tree(str(root)), "/opt/x", "/opt/.complete")
    assert [one["path"] for one in found["directories"]] == ["/opt/x", "/opt/x/inner", "/opt/x/inner/deeper"]
    assert [one["dest"] for one in found["files"]] == [
        "/opt/x/__init__.py",
        "/opt/x/inner/deeper/one.py",
        "/opt/.complete",
    ]
    assert found["contents"] == ["", "ONE = 1\n", ""]


def test_the_digest_names_paths_and_contents(root: Path, tmp_path_factory: Any) -> None:
    """A file that moves, or changes, makes another tree."""
    digests = {source_tree(str(root))["digest"]}
    for number, (name, text) in enumerate([("inner/one.py", "ONE = 1\n"), ("inner/deeper/one.py", "ONE = 2\n")]):
        other = tmp_path_factory.mktemp(f"tree{number}")
        (other / name).parent.mkdir(parents=True)
        (other / "__init__.py").write_text("")
        (other / name).write_text(text)
        digests.add(source_tree(str(other))["digest"])
    assert len(digests) == 3


def test_a_tree_without_sources_is_refused(tmp_path: Path) -> None:
    """A wrong path would install nothing, with a mark of completion."""
    with pytest.raises(ValueError, match="no Python sources"):
        source_tree(str(tmp_path))


def test_patches_are_named_by_their_descriptions(tmp_path: Path) -> None:
    """In the module itself or among others in the registry; a module that only helps describes none."""
    (tmp_path / "fast.py").write_text('PATCH = Patch(\n    name="fast",\n    kind=SPEED,\n    why="x",\n)\n')
    (tmp_path / "others.py").write_text('A = {one.name: one for one in (Patch(name="a", kind=SAFETY, why="x"),)}\n')
    (tmp_path / "helper.py").write_text("class Patch:\n    name: str\n\n\ndef kind(x): ...\n")
    tree = source_tree(str(tmp_path))
    assert (patch_names(tree, "speed"), patch_names(tree, "safety")) == (["fast"], ["a"])
    with pytest.raises(ValueError, match="describe no other patch"):
        patch_names(tree, "other")
