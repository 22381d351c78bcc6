"""What root does to files in directories that others can write: by descriptors, never through a link.

The service's account owns the artifact store: between two looks at a path of it
any directory can become a link to somewhere else. So a path below a root is
opened part by part, no part of it may be a link, and what is then done is done
to names in the directory that was opened, wherever that has gone meanwhile.

The root itself is a path that only root can change: the artifact volume, or a
directory of ours.

Sources: openat2(2) ``RESOLVE_BENEATH``, ``RESOLVE_NO_SYMLINKS``; renameat2(2)
``RENAME_NOREPLACE``; openat(2), "Rationale for openat() and other directory
file descriptor APIs".
"""

from __future__ import annotations

import ctypes
import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflowctl.errors import ControlError
from mlflowctl.process import run

FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPENAT2 = 437  # the same on every architecture
NO_SYMLINKS, BENEATH = 0x04, 0x08
NO_REPLACE = 1
# Bytes of a path that one call takes, well below PATH_MAX.
AT_ONCE = 3000
# Also after a move these say that the way is not a plain one, not that something is missing.
_IN_THE_WAY = (errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.EAGAIN)

_libc = ctypes.CDLL(None, use_errno=True)


class InTheWay(ControlError):
    """A link, or something else that is no directory, is where a directory should be; nothing was changed there."""


@dataclass(frozen=True)
class Owner:
    """Whom directories are made for: setgid, and closed to all others."""

    user: int
    group: int

    @classmethod
    def named(cls, user: str, group: str) -> Owner:
        """By the names of a user and a group."""
        return cls(pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid)


class _How(ctypes.Structure):
    """``struct open_how``."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def parts(below: str | Path) -> list[str]:
    """The parts of a path below a root.

    Raises:
        ControlError: it is not below.
    """
    found = [part for part in str(below).split("/") if part not in ("", ".")]
    if ".." in found or str(below).startswith("/"):
        raise ControlError(f"{below} does not lie below the directory that it should")
    return found


def _openat2(directory: int, path: str) -> int:
    """Open a directory below another; -1 where the kernel has no such call, or a sandbox forbids it.

    Raises:
        OSError: as for open.
    """
    how = _How(FLAGS, 0, NO_SYMLINKS | BENEATH)
    while True:
        found = int(
            _libc.syscall(OPENAT2, directory, os.fsencode(path), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
        )
        code = ctypes.get_errno()
        if found >= 0 or code in (errno.ENOSYS, errno.EPERM):
            return found
        if code not in (errno.EINTR, errno.EAGAIN):  # EAGAIN: something was renamed meanwhile
            raise OSError(code, os.strerror(code), path)


def _step(directory: int, names: list[str]) -> int:
    """Open a directory below another, some parts at once where that is possible. The descriptor is the caller's."""
    path = "/".join(names)
    if len(names) > 1 and (found := _openat2(directory, path)) >= 0:
        return found
    here = os.dup(directory)
    try:
        for name in names:
            below = os.open(name, FLAGS, dir_fd=here)
            os.close(here)
            here = below
    except OSError:
        os.close(here)
        raise
    return here


def _portions(names: list[str]) -> Iterator[list[str]]:
    """Parts of a path, as many at once as one call takes."""
    portion: list[str] = []
    size = 0
    for name in names:
        size += len(os.fsencode(name)) + 1
        if portion and size > AT_ONCE:
            yield portion
            portion, size = [], len(os.fsencode(name)) + 1
        portion.append(name)
    if portion:
        yield portion


def _make(directory: int, name: str, owner: Owner | None) -> None:
    """Make a directory if it is not there: root's alone, or its owner's."""
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        return
    if owner:
        made = os.open(name, FLAGS, dir_fd=directory)
        try:
            _give(made, owner)
        finally:
            os.close(made)


def _give(directory: int, owner: Owner) -> None:
    """Give an open directory away. The mode first: afterwards it is another's."""
    os.fchmod(directory, 0o2770)
    os.fchown(directory, owner.user, owner.group)


@contextmanager
def opened(root: Path, below: str | Path = "", make: bool = False, owner: Owner | None = None) -> Iterator[int]:
    """A descriptor of a directory below a root.

    Args:
        root: a directory that only root can replace; it may be a link.
        below: the path from there.
        make: make what is missing of it.
        owner: whom it is made for; root if not given.

    Raises:
        FileNotFoundError: there is no such directory.
        InTheWay: a part of it is no directory.
    """
    here = os.open(root, FLAGS & ~os.O_NOFOLLOW)
    try:
        names = parts(below)
        try:
            for portion in [[name] for name in names] if make else _portions(names):
                if make:
                    _make(here, portion[0], owner)
                beyond = _step(here, portion)
                os.close(here)
                here = beyond
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                raise InTheWay(_blame(root, names)) from error
            raise
        yield here
    finally:
        os.close(here)


def _blame(root: Path, names: list[str]) -> str:
    """Which part of a path is no directory; for a person."""
    here = os.open(root, FLAGS & ~os.O_NOFOLLOW)
    try:
        for count, name in enumerate(names, 1):
            try:
                below = os.open(name, FLAGS, dir_fd=here)
            except OSError:
                place = root / "/".join(names[:count])
                return f"{place} is a link, or no directory: it is not followed. Look who made it, and remove it"
            os.close(here)
            here = below
    finally:
        os.close(here)
    return f"{root / '/'.join(names)} was moved meanwhile: repeat it"


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
                here = _descend(top, path.split("/")[:-1])
            except OSError as error:
                if error.errno in (*_IN_THE_WAY, errno.ENOENT):
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


def _descend(directory: int, names: list[str]) -> int:
    """Open a directory below another; the descriptor is the caller's."""
    here = os.dup(directory)
    try:
        for portion in _portions(names):
            beyond = _step(here, portion)
            os.close(here)
            here = beyond
    except OSError:
        os.close(here)
        raise
    return here


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
            here = _descend(top, path.split("/")[:-1])
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
            here = _descend(top, path.split("/")[:-1])
            try:
                with os.scandir(here) as entries:
                    found = list(entries)
                for entry in found:
                    if _is_device(entry):
                        os.unlink(entry.name, dir_fd=here)
                    else:
                        os.chown(entry.name, owner.user, owner.group, dir_fd=here, follow_symlinks=False)
                _give(here, owner)
            finally:
                os.close(here)


def _is_device(entry: os.DirEntry[str]) -> bool:
    """Whether a file stands for a disk, a terminal or the like."""
    mode = entry.stat(follow_symlinks=False).st_mode
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
