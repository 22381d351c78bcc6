"""The bundle of a recovery point: settings, secrets, certificates and versions that a new host needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core.config import Config
from mlflowctl.core.process import run

# Copied to the same path below this directory of the stage.
NAME = "host"
# The password of one repository must not be in another.
LEFT_OUT = "repository_"


def write(config: Config, facts: dict[str, Any]) -> None:
    """Copy the files, and record their owners by name and the versions of the tools.

    Args:
        config: the instance.
        facts: further facts about the point.
    """
    root = config.instance.stage / NAME
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(mode=0o700)
    owners = {}
    for name in config.recovery.files:
        source = Path(name)
        for file in sorted([source, *source.rglob("*")] if source.is_dir() else [source]):
            if not file.is_file() or file.is_symlink() or file.name.startswith(LEFT_OUT):
                continue
            target = root / file.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(file, target)
            owners[str(file)] = [file.owner(), file.group(), f"{file.stat().st_mode & 0o7777:04o}"]
    facts = facts | {"owners": owners, "tools": tools(stores.database.of(config).tools)}
    (root / "point.json").write_text(json.dumps(facts, indent=2) + "\n")


def tools(programs: Iterable[str]) -> dict[str, str]:
    """Versions of the programs that write and read a point: restic and those of the database."""
    asked = {"restic": "version"} | dict.fromkeys(programs, "--version")
    return {name: run([name, argument]).stdout.strip() for name, argument in asked.items()}
