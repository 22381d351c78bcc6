"""Make untrusted text safe for a terminal, a log or a mail: no control characters, no line breaks."""

from __future__ import annotations

# Enough to recognize a URI by; a client may write thousands of characters.
SHOWN = 300


def printable(text: object, keep: str = "") -> str:
    r"""The text with everything that is not printable escaped as in Python, such as ``\x1b``.

    Args:
        text: anything, lone surrogates included.
        keep: characters that stay as they are.
    """
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in str(text)
    )


def shortened(text: object) -> str:
    """The same, cut to a readable length."""
    shown = printable(text)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}… ({len(shown)} characters)"
