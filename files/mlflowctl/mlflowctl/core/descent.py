"""Open directories below a root by descriptors, part by part, never through a link.

The service's account owns the artifact store: between two looks at a path of it
any directory can become a link to somewhere else. So a path below a root is
opened part by part, and no part of it may be a link.

The root itself is a path that only root can change: the artifact volume, or a
directory of ours.

Sources: openat2(2) ``RESOLVE_BENEATH``, ``RESOLVE_NO_SYMLINKS``; openat(2),
"Rationale for openat() and other directory file descriptor APIs".
"""

from __future__ import annotations

import ctypes
import errno
import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflowctl.core.errors import ControlError

FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPENAT2 = 437  # the same on every architecture
NO_SYMLINKS, BENEATH = 0x04, 0x08
# Bytes of a path that one call takes, well below PATH_MAX.
AT_ONCE = 3000
# Also after a move these say that the way is not a plain one, not that something is missing.
IN_THE_WAY = (errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.EAGAIN)

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
            give(made, owner)
        finally:
            os.close(made)


def give(directory: int, owner: Owner) -> None:
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
            if error.errno in IN_THE_WAY:
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


def descend(directory: int, names: list[str]) -> int:
    """Open a directory below another, however deep; the descriptor is the caller's."""
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
