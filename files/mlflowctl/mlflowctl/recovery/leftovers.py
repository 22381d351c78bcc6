"""Data that restores and quarantines have set aside, until an operator deletes it or puts it back."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflowctl import stores
from mlflowctl.core import beneath, lock
from mlflowctl.core.ages import age
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.progress import Log
from mlflowctl.recovery import partial
from mlflowctl.stores.artifacts import trees


def quarantine_path(config: Config, suffix: str) -> Path:
    """The directory of the orphans of one quarantine."""
    return config.artifacts.path / f"store.orphans-{suffix}"


def _store_path(config: Config, suffix: str) -> Path:
    return config.artifacts.path / f"store.before-{suffix}"


def _secrets_path(config: Config, suffix: str) -> Path:
    return config.instance.state_path / f"secrets.before-{suffix}"


def suffixes(config: Config) -> list[str]:
    """The suffix of each restore or quarantine whose data still exists."""
    found = {path.name.removeprefix("secrets.before-") for path in config.instance.state_path.glob("secrets.before-*")}
    found |= {path.name.rsplit(".before-", 1)[1] for path in config.artifacts.path.glob("store.before-*")}
    found |= {path.name.rsplit("-", 1)[1] for path in config.artifacts.path.glob("store.orphans-*")}
    return sorted(found | stores.database.of(config).set_aside())


def listing(config: Config, now: float) -> list[dict[str, Any]]:
    """What was set aside, oldest first: kind, content, size, age.

    Args:
        config: the instance.
        now: seconds since 1970.
    """
    return [_described(config, suffix, now) for suffix in suffixes(config)]


def _described(config: Config, suffix: str, now: float) -> dict[str, Any]:
    sizes = {
        "database": stores.database.of(config).size_aside(suffix),
        "artifacts": _size(_store_path(config, suffix)),
        "keys": _size(_secrets_path(config, suffix)),
        "orphans": _size(quarantine_path(config, suffix)),
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


def _size(path: Path) -> int | None:
    """Bytes of the files below a directory; ``None`` if there is no such directory."""
    if not path.is_dir() or path.is_symlink():
        return None
    return sum(size for _, size in trees.walk(path))


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
        source = quarantine_path(config, suffix)
        if not beneath.is_directory(config.artifacts.path, source.name):
            raise Refused(f"{suffix} belongs to a restore: use `mlflowctl restore` with an older point to go back")
        done = partial.merge(config, source.name, config.artifacts.store.name)
        log(
            f"{done.moved} files were moved back"
            + f", {done.existing} exist in the store and stay in {source}" * bool(done.existing)
        )
        if done.refused:
            raise ControlError(
                f"{len(done.refused)} files stay in {source}, {done.moved} were moved back; first: {done.refused[0]}"
            )
        if not done.existing:
            trees.remove(source)
    return {"came_back": done.moved}


def _require_suffix(config: Config, suffix: str) -> None:
    known = suffixes(config)
    if suffix not in known:
        raise Refused(f"nothing was set aside as {suffix!r}: use one of {', '.join(known) or 'none'}")


def remove(config: Config, suffix: str) -> None:
    """Delete it. The caller holds the lock."""
    stores.database.of(config).drop_aside(suffix)
    for path in (_store_path(config, suffix), _secrets_path(config, suffix), quarantine_path(config, suffix)):
        trees.remove(path)
