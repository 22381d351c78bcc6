"""Which rendered files differ from what lies on the host.

The template module asks the host twice for each file. One call of the find
module answers for all of them; only files that differ are then written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any


def drifted_files(
    files: list[dict[str, str]], found: list[dict[str, Any]], contents: list[str]
) -> list[dict[str, str]]:
    """The entries of ``files`` that the host lacks or has otherwise.

    Args:
        files: each with ``dest``, ``group`` and ``mode`` (octal, as text); root owns them all.
        found: ``files`` of the find module's result, with SHA-1 checksums.
        contents: what each of ``files`` should hold, in the same order.

    Returns:
        The entries to write, in the order given.
    """
    on_host = {entry["path"]: entry for entry in found}

    def same(wanted: dict[str, str], content: str) -> bool:
        entry = on_host.get(wanted["dest"])
        digest = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        return entry is not None and (
            entry["checksum"] == digest
            and entry["pw_name"] == "root"
            and entry["gr_name"] == wanted["group"]
            and int(entry["mode"], 8) == int(wanted["mode"], 8)
        )

    return [wanted for wanted, content in zip(files, contents, strict=True) if not same(wanted, content)]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file by name."""
        return {"drifted_files": drifted_files}
