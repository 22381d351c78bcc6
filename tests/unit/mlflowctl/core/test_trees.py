"""Directories of any depth."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from mlflowctl.core import trees


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A directory with one file below more directories than Python's own functions can handle."""
    root = tmp_path / "root"
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(1800):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_CREAT, dir_fd=here))
    os.close(here)
    return root


def test_walk_follows_no_link(tmp_path: Path) -> None:
    """Regular files only, with their sizes."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_text("four")
    (tmp_path / "link").symlink_to("/etc")
    assert list(trees.walk(tmp_path)) == [("a/b/f", 4)]


def test_depth_does_not_matter(deep: Path) -> None:
    """They are listed, change their owner and are removed; a missing one is no error."""
    file = "d/" * 1800 + "f"
    assert list(trees.walk(deep)) == [(file, 0)]
    trees.chown(deep, pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name)
    assert (deep / file).parent.stat().st_mode & 0o7777 == 0o2770
    assert deep.stat().st_mode & 0o7777 == 0o2770
    trees.remove(deep)
    assert not deep.exists()
    trees.remove(deep)


def test_removing_follows_no_link(tmp_path: Path) -> None:
    """The target of a link stays."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "kept")
    trees.remove(tmp_path / "root")
    assert (tmp_path / "kept").is_dir()
