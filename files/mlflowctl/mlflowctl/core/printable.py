"""Text that others wrote, for a terminal, a log, a mail: nothing in it moves a cursor or begins a line of its own."""

from __future__ import annotations

# Enough to recognize a URI by; a client may write thousands of characters.
SHOWN = 300


def printable(text: object, keep: str = "") -> str:
    r"""A text in which whatever a terminal would not print is written as Python writes it, such as ``\x1b``.

    Args:
        text: anything; lone surrogates too, which no encoding takes.
        keep: characters that stay as they are.
    """
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in str(text)
    )


def shortened(text: object) -> str:
    """The same, and no longer than a person reads."""
    shown = printable(text)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}… ({len(shown)} characters)"
