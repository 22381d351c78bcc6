"""The result of an operation: names and values, which the command line prints as text or as JSON."""

from __future__ import annotations

from typing import Any, Protocol

Facts = dict[str, Any]


class FactsPrinter(Protocol):
    """Prints the result of a command."""

    def facts(self, facts: Facts | list[Facts]) -> None:
        """The result; an error goes to standard error, unless a program reads it."""
