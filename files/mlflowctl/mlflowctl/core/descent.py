"""Open directories below a root by descriptors, component by component, without following links.

The service's account owns the artifact store, so any directory in it can be replaced
by a link between two operations on a path. A path below a root is therefore opened
component by component, and none may be a link.

The root itself is a path that only root can change: the artifact volume, or one of
our own directories.

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
# Bytes of a path for one call, well below PATH_MAX.
AT_ONCE = 3000
# Errors that mean that a component is not a plain directory, and not that it is missing.
UNSAFE_ERRNOS = (errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.EAGAIN)

_libc = ctypes.CDLL(None, use_errno=True)


class UnsafePath(ControlError):
    """A component of a path is a link, or not a directory. Nothing was changed there."""


@dataclass(frozen=True)
class Owner:
    """User and group of new directories, which are setgid and not accessible for others."""

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
    """The components of a path below a root.

    Raises:
        ControlError: the path leads out of the root.
    """
    found = [part for part in str(below).split("/") if part not in ("", ".")]
    if ".." in found or str(below).startswith("/"):
        raise ControlError(f"{below} is not below the expected directory")
    return found


def _openat2(directory: int, path: str) -> int:
    """Open a directory below another; -1 if the kernel does not have the call, or a sandbox forbids it.

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
    """Open a directory below another, several components at once where possible. The caller closes the descriptor."""
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
    """The components of a path in portions for one call each."""
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
    """Create a directory if it does not exist, owned by root or the given owner."""
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        return
    if owner:
        made = os.open(name, FLAGS, dir_fd=directory)
        try:
            chown(made, owner)
        finally:
            os.close(made)


def chown(directory: int, owner: Owner) -> None:
    """Change mode and owner of an open directory; the mode first, while it is still root's."""
    os.fchmod(directory, 0o2770)
    os.fchown(directory, owner.user, owner.group)


def chown_itself(path: Path, owner: Owner) -> None:
    """Change the owner of a path, of a link itself."""
    os.chown(path, owner.user, owner.group, follow_symlinks=False)


@contextmanager
def opened(root: Path, below: str | Path = "", make: bool = False, owner: Owner | None = None) -> Iterator[int]:
    """A descriptor of a directory below a root.

    Args:
        root: a directory that only root can replace; it may be a link.
        below: the path from there.
        make: create missing directories.
        owner: of new directories; root if not given.

    Raises:
        FileNotFoundError: the directory does not exist.
        UnsafePath: a component is not a directory.
    """
    here = os.open(root, FLAGS & ~os.O_NOFOLLOW)
    try:
        names = parts(below)
        try:
            for portion in [[name] for name in names] if make else _portions(names):
                if make:
                    _make(here, portion[0], owner)
                below_it = _step(here, portion)
                os.close(here)
                here = below_it
        except OSError as error:
            if error.errno in UNSAFE_ERRNOS:
                raise UnsafePath(_explain(root, names)) from error
            raise
        yield here
    finally:
        os.close(here)


def _explain(root: Path, names: list[str]) -> str:
    """Which component of a path is not a directory, as a sentence."""
    here = os.open(root, FLAGS & ~os.O_NOFOLLOW)
    try:
        for count, name in enumerate(names, 1):
            try:
                below = os.open(name, FLAGS, dir_fd=here)
            except OSError:
                place = root / "/".join(names[:count])
                return f"{place} is a link, or not a directory, and is not followed. Find its creator, and remove it"
            os.close(here)
            here = below
    finally:
        os.close(here)
    return f"{root / '/'.join(names)} was moved meanwhile: try again"


def descend(directory: int, names: list[str]) -> int:
    """Open a directory below another, at any depth. The caller closes the descriptor."""
    here = os.dup(directory)
    try:
        for portion in _portions(names):
            below_it = _step(here, portion)
            os.close(here)
            here = below_it
    except OSError:
        os.close(here)
        raise
    return here
