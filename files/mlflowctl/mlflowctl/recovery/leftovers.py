"""Data that restores and quarantines have set aside, until an operator deletes it or puts it back."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core import lock, trees
from mlflowctl.core.ages import age
from mlflowctl.core.config import Config, Instance
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.progress import Log


def _secrets_path(instance: Instance, suffix: str) -> Path:
    return instance.state_path / f"secrets.before-{suffix}"


def suffixes(config: Config) -> list[str]:
    """The suffix of each restore or quarantine whose data still exists."""
    found = {path.name.removeprefix("secrets.before-") for path in config.instance.state_path.glob("secrets.before-*")}
    return sorted(found | stores.artifacts.of(config).set_aside() | stores.database.of(config).set_aside())


def listing(config: Config, now: float) -> list[dict[str, Any]]:
    """What was set aside, oldest first: kind, content, size, age.

    Args:
        config: the instance.
        now: seconds since 1970.
    """
    return [_described(config, suffix, now) for suffix in suffixes(config)]


def _described(config: Config, suffix: str, now: float) -> dict[str, Any]:
    artifacts, database = stores.artifacts.of(config), stores.database.of(config)
    orphans = artifacts.quarantined(suffix)
    sizes = {
        "database": database.size_aside(suffix),
        "artifacts": artifacts.size_aside(suffix),
        "keys": trees.size(_secrets_path(config.instance, suffix)),
        "orphans": None if orphans is None else sum(size for _, size in orphans.list()),
    }
    held = {name: size for name, size in sizes.items() if size is not None}
    kinds = ["restore"] * bool(held.keys() - {"orphans"}) + ["quarantine"] * ("orphans" in held)
    size = sum(held.values())
    # The suffix is the time in UTC.
    since = None
    with suppress(ValueError):
        since = datetime.strptime(suffix, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return {
        "suffix": suffix,
        "kind": " and ".join(kinds),
        "holds": ", ".join(held),
        "bytes": size,
        "size": f"{size / (1 << 20):.1f} MiB",
        "since": since.isoformat() if since else "",
        "age": age(now - since.timestamp()) if since else "unknown",
    }


def delete(config: Config, suffix: str, log: Log) -> dict[str, Any]:
    """Delete the old database, artifacts and secrets of one restore, or the orphans of one quarantine.

    Returns:
        The suffix.

    Raises:
        ControlError: nothing has that suffix.
    """
    with lock.exclusive(config.instance.state_path, "deletion of leftovers"):
        _require_suffix(config, suffix)
        remove(config, suffix)
        log(f"the data that was set aside as {suffix} is deleted")
    return {"deleted": suffix}


def put_back(config: Config, suffix: str, log: Log) -> dict[str, Any]:
    """Move the orphans of one quarantine back into the store; existing files are not overwritten.

    Returns:
        How many were moved.

    Raises:
        ControlError: there is no quarantine of that suffix, or a file cannot be moved.
    """
    with lock.exclusive(config.instance.state_path, "return of leftovers"):
        _require_suffix(config, suffix)
        artifacts = stores.artifacts.of(config)
        source = artifacts.quarantined(suffix)
        if source is None:
            raise Refused(f"{suffix} belongs to a restore: use `mlflowctl restore` with an older point to go back")
        done = artifacts.merge(source, "")
        log(
            f"{done.moved} files were moved back"
            + f", {done.existing} exist in the store and stay in {source.address}" * bool(done.existing)
        )
        if done.refused:
            raise ControlError(
                f"{len(done.refused)} files stay in {source.address}, {done.moved} were moved back; "
                f"first: {done.refused[0]}"
            )
        if not done.existing:
            artifacts.drop_quarantine(suffix)
    return {"came_back": done.moved}


def _require_suffix(config: Config, suffix: str) -> None:
    known = suffixes(config)
    if suffix not in known:
        raise Refused(f"nothing was set aside as {suffix!r}: use one of {', '.join(known) or 'none'}")


def remove(config: Config, suffix: str) -> None:
    """Delete it. The caller holds the lock."""
    stores.database.of(config).drop_aside(suffix)
    artifacts = stores.artifacts.of(config)
    artifacts.drop_aside(suffix)
    trees.remove(_secrets_path(config.instance, suffix))
    artifacts.drop_quarantine(suffix)
