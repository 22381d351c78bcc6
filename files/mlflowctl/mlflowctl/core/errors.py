"""What can go wrong, by what the caller should do about it.

Exit codes, the same for every command: 0 fine, 1 failed or a problem was
found, 2 refused, 3 lost, 75 busy. docs/reference/status-codes.md has the table.
"""

from __future__ import annotations


class ControlError(Exception):
    """It failed: says what is wrong, where, and what to do."""

    exit_code = 1


class ProblemFound(ControlError):
    """It ran, and found a problem that a person must look at."""


class Busy(ControlError):
    """Another transaction holds the lock."""

    exit_code = 75


class Refused(ControlError):
    """Nothing was begun: the order is none, or the operator has to decide something first. No failure."""

    exit_code = 2
