"""What restores have put aside, until a person says that it may go."""

from __future__ import annotations

import re
import shutil

from mlflowctl import database, lock
from mlflowctl.backup import Say
from mlflowctl.config import Config
from mlflowctl.errors import ControlError


def suffixes(config: Config) -> list[str]:
    """The suffix of each restore whose old data is still here."""
    found = {path.name.removeprefix("secrets.before-") for path in config.state_path.glob("secrets.before-*")}
    found |= {path.name.rsplit(".before-", 1)[1] for path in config.volume_path.glob("store.before-*")}
    pattern = re.compile(re.escape(config.database) + r"_before_(\d+)")
    with database.connect(config, database.ADMIN) as connection:
        for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall():
            if match := pattern.fullmatch(name):
                found.add(match[1])
    return sorted(found)


def delete(config: Config, suffix: str, say: Say) -> None:
    """Delete old database, artifacts and secrets of one restore.

    Raises:
        ControlError: there is nothing of that suffix.
    """
    with lock.exclusive(config.state_path, "deletion of leftovers"):
        known = suffixes(config)
        if suffix not in known:
            raise ControlError(f"nothing was put aside as {suffix!r}: use one of {', '.join(known) or 'none'}")
        remove(config, suffix)
        say(f"what the restore put aside as {suffix} is deleted")


def remove(config: Config, suffix: str) -> None:
    """Delete it. The caller holds the lock."""
    database.drop(config, f"{config.database}_before_{suffix}")
    for path in (config.volume_path / f"store.before-{suffix}", config.state_path / f"secrets.before-{suffix}"):
        if path.exists():
            shutil.rmtree(path)
