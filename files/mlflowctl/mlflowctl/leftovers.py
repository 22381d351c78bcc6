"""What restores and quarantines have put aside, until a person says that it may go, or come back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mlflowctl import beneath, database, lock, partial, trees
from mlflowctl.backup import Say
from mlflowctl.config import Config
from mlflowctl.errors import ControlError, Refused


def quarantine_path(config: Config, suffix: str) -> Path:
    """Where the orphans of one quarantine are."""
    return config.volume_path / f"store.orphans-{suffix}"


def suffixes(config: Config) -> list[str]:
    """The suffix of each restore or quarantine whose data is still here."""
    found = {path.name.removeprefix("secrets.before-") for path in config.state_path.glob("secrets.before-*")}
    found |= {path.name.rsplit(".before-", 1)[1] for path in config.volume_path.glob("store.before-*")}
    found |= {path.name.rsplit("-", 1)[1] for path in config.volume_path.glob("store.orphans-*")}
    pattern = re.compile(re.escape(config.database) + r"_before_(\d+)")
    with database.connect(config, database.ADMIN) as connection:
        for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall():
            if match := pattern.fullmatch(name):
                found.add(match[1])
    return sorted(found)


def delete(config: Config, suffix: str, say: Say) -> dict[str, Any]:
    """Delete the old database, artifacts and secrets of one restore, or the orphans of one quarantine.

    Returns:
        The suffix.

    Raises:
        ControlError: there is nothing of that suffix.
    """
    with lock.exclusive(config.state_path, "deletion of leftovers"):
        _known(config, suffix)
        remove(config, suffix)
        say(f"what was put aside as {suffix} is deleted")
    return {"deleted": suffix}


def put_back(config: Config, suffix: str, say: Say) -> dict[str, Any]:
    """Put the orphans of one quarantine back into the store; a file that is there again stays.

    Returns:
        How many came back.

    Raises:
        ControlError: there is no quarantine of that suffix, or a file cannot go where it was.
    """
    with lock.exclusive(config.state_path, "return of leftovers"):
        _known(config, suffix)
        source = quarantine_path(config, suffix)
        if not beneath.is_directory(config.volume_path, source.name):
            raise Refused(f"{suffix} is of a restore: use `mlflowctl restore` with an older point to go back")
        done = partial.merge(config, source.name, config.store.name)
        say(
            f"{done.came} files are back" + f", {done.stayed} were there again and stay in {source}" * bool(done.stayed)
        )
        if done.refused:
            raise ControlError(
                f"{len(done.refused)} files stay in {source}, {done.came} are back; first: {done.refused[0]}"
            )
        if not done.stayed:
            trees.remove(source)
    return {"came_back": done.came}


def _known(config: Config, suffix: str) -> None:
    known = suffixes(config)
    if suffix not in known:
        raise Refused(f"nothing was put aside as {suffix!r}: use one of {', '.join(known) or 'none'}")


def remove(config: Config, suffix: str) -> None:
    """Delete it. The caller holds the lock."""
    database.drop(config, f"{config.database}_before_{suffix}")
    for path in (
        config.volume_path / f"store.before-{suffix}",
        config.state_path / f"secrets.before-{suffix}",
        quarantine_path(config, suffix),
    ):
        trees.remove(path)
