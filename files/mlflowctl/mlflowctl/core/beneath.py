"""What root does to files in directories that others can write: look, list, move, remove, give away.

All of it is done to names in a directory that :mod:`mlflowctl.core.descent` has opened,
wherever that has gone meanwhile; never through a link.

Sources: renameat2(2) ``RENAME_NOREPLACE``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mlflowctl.core.descent import IN_THE_WAY, InTheWay, Owner, descend, opened, parts
from mlflowctl.core.descent import give as give_directory
from mlflowctl.core.errors import ControlError
from mlflowctl.core.process import run

NO_REPLACE = 1

_libc = ctypes.CDLL(None, use_errno=True)


def look(root: Path, path: str | Path) -> os.stat_result | None:
    """What is at a path below a root, itself and not what it points to; ``None`` if there is nothing.

    Raises:
        InTheWay: a directory on the way is none.
    """
    *above, name = parts(path)
    try:
        with opened(root, "/".join(above)) as directory:
            return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_directory(root: Path, path: str | Path) -> bool:
    """Whether there is a directory, by no link."""
    try:
        found = look(root, path)
    except InTheWay:
        return False
    return found is not None and stat.S_ISDIR(found.st_mode)


def rename(root: Path, source: str | Path, target: str | Path, owner: Owner | None = None) -> bool:
    """Move one file or directory below a root; the target's directories are made if they are missing.

    Args:
        root: a directory that only root can replace.
        source: what moves, below the root.
        target: its new path, below the root.
        owner: whom directories are made for; root if not given.

    Returns:
        False if something is at the target already: then nothing moves.

    Raises:
        FileNotFoundError: the source is gone.
        InTheWay: a directory of either path is none.
    """
    *above, name = parts(source)
    *beyond, new = parts(target)
    with (
        opened(root, "/".join(above)) as old,
        opened(root, "/".join(beyond), make=True, owner=owner) as directory,
    ):
        return _rename(old, name, directory, new)


def _rename(old: int, name: str, directory: int, new: str) -> bool:
    """Rename without replacing anything, if the file system can; otherwise after a look."""
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

    However deep they are: Python's own functions call themselves once for each
    level, or keep a descriptor for each. A directory that goes meanwhile is left out.

    Raises:
        FileNotFoundError: the directory itself is not there.
        InTheWay: a part of its path is no directory.
    """
    begin = "/".join(parts(below))
    stack = [""]
    with opened(root, begin) as top:
        while stack:
            path = stack.pop()
            try:
                here = descend(top, path.split("/")[:-1])
            except OSError as error:
                if error.errno in (*IN_THE_WAY, errno.ENOENT):
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
    """Bytes of a file; nothing if it is gone."""
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return None


def remove(root: Path, path: str | Path) -> None:
    """Remove a file, or a directory and all below it; what is not there is no error. A link goes, not what it names.

    Raises:
        InTheWay: a directory on the way is none.
        ControlError: something in it cannot be removed.
    """
    *above, name = parts(path)
    try:
        with opened(root, "/".join(above)) as directory:
            # GNU rm works by descriptors, too; it begins in the one that is open here.
            run(["rm", "--recursive", "--force", "--", f"./{name}"], cwd=f"/proc/{os.getpid()}/fd/{directory}")
    except FileNotFoundError:
        return


def give(root: Path, below: str | Path, owner: Owner) -> None:
    """Make an owner own a directory and all below it, and what is made in its directories the group's too.

    A device is no artifact and goes: a disk must not become the service's.

    Raises:
        ControlError: a file in it has another name elsewhere, so it would be given away there, too.
        InTheWay: a part of its path is no directory.
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
                    f"{root / begin / path} has another name elsewhere: it cannot be given to the service"
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
                give_directory(here, owner)
            finally:
                os.close(here)


def _is_device(entry: os.DirEntry[str]) -> bool:
    """Whether a file stands for a disk, a terminal or the like."""
    mode = entry.stat(follow_symlinks=False).st_mode
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
