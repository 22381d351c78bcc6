"""What can go wrong, by what the caller should do about it (exit codes: design, section 6)."""

from __future__ import annotations


class ControlError(Exception):
    """Cannot run: says what is wrong, where, and what to do."""

    exit_code = 2


class ProblemFound(ControlError):
    """It ran, and found a problem that a person must look at."""

    exit_code = 1


class Busy(ControlError):
    """Another transaction holds the lock."""

    exit_code = 75


class Refused(ControlError):
    """Nothing was begun, because the operator has to decide something first; no failure."""
