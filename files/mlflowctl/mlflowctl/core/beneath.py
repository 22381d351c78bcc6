"""File operations of root in directories that others can write: stat, list, move, remove, chown.

Each works on a name in a directory that :mod:`mlflowctl.core.descent` has opened,
wherever that directory has been moved meanwhile, and never follows a link.

Sources: renameat2(2) ``RENAME_NOREPLACE``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mlflowctl.core.descent import UNSAFE_ERRNOS, Owner, UnsafePath, descend, opened, parts
from mlflowctl.core.descent import chown as chown_directory
from mlflowctl.core.errors import ControlError
from mlflowctl.core.process import run

NO_REPLACE = 1

_libc = ctypes.CDLL(None, use_errno=True)


def lstat(root: Path, path: str | Path) -> os.stat_result | None:
    """The status of a path below a root, of a link itself; ``None`` if there is nothing.

    Raises:
        UnsafePath: a part of the path above it is not a directory.
    """
    *above, name = parts(path)
    try:
        with opened(root, "/".join(above)) as directory:
            return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_directory(root: Path, path: str | Path) -> bool:
    """Whether there is a directory, reached without links."""
    try:
        found = lstat(root, path)
    except UnsafePath:
        return False
    return found is not None and stat.S_ISDIR(found.st_mode)


def rename(root: Path, source: str | Path, target: str | Path, owner: Owner | None = None) -> bool:
    """Move one file or directory below a root; the target's directories are made if they are missing.

    Args:
        root: a directory that only root can replace.
        source: what moves, below the root.
        target: its new path, below the root.
        owner: of new directories; root if not given.

    Returns:
        False if the target exists: then nothing is moved.

    Raises:
        FileNotFoundError: the source does not exist.
        UnsafePath: a part of either path is not a directory.
    """
    *above, name = parts(source)
    *target_parents, new = parts(target)
    with (
        opened(root, "/".join(above)) as old,
        opened(root, "/".join(target_parents), make=True, owner=owner) as directory,
    ):
        return _rename(old, name, directory, new)


def _rename(old: int, name: str, directory: int, new: str) -> bool:
    """Rename without replacing anything; where the file system cannot do that, check for the target first."""
    done = _libc.renameat2(old, os.fsencode(name), directory, os.fsencode(new), ctypes.c_uint(NO_REPLACE))
    code = ctypes.get_errno()
    if done == 0:
        return True
    if code == errno.EEXIST:
        return False
    if code not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(code, os.strerror(code), name)
    try:
        os.stat(new, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, new, src_dir_fd=old, dst_dir_fd=directory)
        return True
    return False


def walk(root: Path, below: str | Path = "") -> Iterator[tuple[str, int]]:
    """Regular files below a directory, by their paths from there, with their sizes in bytes; follows no link.

    Works at any depth: Python's own functions recurse once for each level, or keep
    a descriptor for each. A directory that is removed meanwhile is skipped.

    Raises:
        FileNotFoundError: the directory itself does not exist.
        UnsafePath: a part of its path is not a directory.
    """
    begin = "/".join(parts(below))
    stack = [""]
    with opened(root, begin) as top:
        while stack:
            path = stack.pop()
            try:
                here = descend(top, path.split("/")[:-1])
            except OSError as error:
                if error.errno in (*UNSAFE_ERRNOS, errno.ENOENT):
                    continue
                raise
            try:
                with os.scandir(here) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            stack.append(f"{path}{entry.name}/")
                        elif entry.is_file(follow_symlinks=False) and (size := _size(entry)) is not None:
                            yield path + entry.name, size
            finally:
                os.close(here)


def _size(entry: os.DirEntry[str]) -> int | None:
    """Bytes of a file; ``None`` if it no longer exists."""
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return None


def remove(root: Path, path: str | Path) -> None:
    """Remove a file, or a directory and all below it, if it exists. A link itself is removed, not its target.

    Raises:
        UnsafePath: a part of the path above it is not a directory.
        ControlError: something in it cannot be removed.
    """
    *above, name = parts(path)
    try:
        with opened(root, "/".join(above)) as directory:
            # GNU rm works with descriptors, too, and starts in the directory that is open here.
            run(["rm", "--recursive", "--force", "--", f"./{name}"], cwd=f"/proc/{os.getpid()}/fd/{directory}")
    except FileNotFoundError:
        return


def chown(root: Path, below: str | Path, owner: Owner) -> None:
    """Change the owner of a directory and all below it, and set the setgid bit of the directories.

    Device files are removed: the service must not own a disk.

    Raises:
        ControlError: a file has a hard link outside, whose owner would change, too.
        UnsafePath: a part of its path is not a directory.
    """
    begin = "/".join(parts(below))
    with opened(root, begin) as top:
        directories = [""]
        links: dict[tuple[int, int], tuple[int, int, str]] = {}
        for path in directories:
            here = descend(top, path.split("/")[:-1])
            try:
                with os.scandir(here) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            directories.append(f"{path}{entry.name}/")
                        elif (status := entry.stat(follow_symlinks=False)).st_nlink > 1:
                            key = (status.st_dev, status.st_ino)
                            links[key] = (status.st_nlink, links.get(key, (0, 0, ""))[1] + 1, path + entry.name)
            finally:
                os.close(here)
        for names, seen, path in links.values():
            if names > seen:
                raise ControlError(
                    f"{root / begin / path} has a hard link elsewhere, so its owner is not changed to the service"
                )
        for path in reversed(directories):
            here = descend(top, path.split("/")[:-1])
            try:
                with os.scandir(here) as entries:
                    found = list(entries)
                for entry in found:
                    if _is_device(entry):
                        os.unlink(entry.name, dir_fd=here)
                    else:
                        os.chown(entry.name, owner.user, owner.group, dir_fd=here, follow_symlinks=False)
                chown_directory(here, owner)
            finally:
                os.close(here)


def _is_device(entry: os.DirEntry[str]) -> bool:
    """Whether it is a device file."""
    mode = entry.stat(follow_symlinks=False).st_mode
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
