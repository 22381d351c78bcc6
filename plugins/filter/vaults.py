"""Files for secrets that somebody could commit before they are encrypted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path


def open_vaults(directory: str) -> list[str]:
    """Files named vault below an inventory that are not encrypted and that git would commit.

    Args:
        directory: of the inventory; empty if there is none.
    """
    if not directory:
        return []
    files = [path for end in ("yml", "yaml") for path in Path(directory).glob(f"**/*vault*.{end}") if path.is_file()]
    return [str(path) for path in sorted(files) if _is_open(path) and _git_takes(path)]


def _is_open(path: Path) -> bool:
    text = path.read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "---"))]
    # Values may be encrypted one by one.
    return bool(lines) and not text.startswith("$ANSIBLE_VAULT") and "!vault" not in text


def _git_takes(path: Path) -> bool:
    """Whether it is in a work tree that does not ignore it. Without git nothing is committed."""
    try:
        asked = ["git", "-C", str(path.parent), "check-ignore", "--quiet", str(path)]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 1
    except OSError:
        return False


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """The filters of this file by name."""
        return {"open_vaults": open_vaults}
