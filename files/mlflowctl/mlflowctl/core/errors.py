"""Errors, by what the caller should do about them.

Exit codes, the same for every command: 0 fine, 1 failed or a problem was
found, 2 refused, 3 lost, 75 busy. docs/reference/status-codes.md has the table.
"""

from __future__ import annotations


class ControlError(Exception):
    """An operation failed. The message says what is wrong, where, and what to do."""

    exit_code = 1


class ProblemFound(ControlError):
    """An operation ran and found a problem that needs attention."""


class Busy(ControlError):
    """Another operation holds the lock."""

    exit_code = 75


class Refused(ControlError):
    """Nothing was changed: the arguments are invalid, or the operator has to decide something first. Not a failure."""

    exit_code = 2
