"""When each user and token was last used, from nginx's log of logins."""

from __future__ import annotations

import json
from typing import Any

from mlflowctl.access.declared import Access
from mlflowctl.core import jsonfile


def last(access: Access) -> dict[str, str]:
    """When each name last logged in (ISO 8601).

    nginx caches a correct login for a minute, so times are that exact. The
    result is stored, because the log is rotated.
    """
    path = access.path / "last_use.json"
    kept: dict[str, Any] = jsonfile.read(path, {"inode": 0, "offset": 0, "names": {}})
    before = (kept["inode"], kept["offset"])
    for log in (access.login_log.with_name(f"{access.login_log.name}.1"), access.login_log):
        try:
            file = log.open("rb")
        except FileNotFoundError:
            continue
        with file:
            inode = log.stat().st_ino
            # A new log is read from its beginning; a rotated one only from where reading had stopped in it.
            if inode == kept["inode"]:
                file.seek(kept["offset"])
            elif log != access.login_log:
                continue
            for line in file:
                _note(line, kept["names"])
            kept["inode"], kept["offset"] = inode, file.tell()
    if (kept["inode"], kept["offset"]) != before:
        jsonfile.write(path, kept)
    return dict(kept["names"])


def _note(line: bytes, names: dict[str, str]) -> None:
    try:
        entry = json.loads(line)
    except ValueError:
        return
    if entry["status"] != 401:
        names[entry["name"]] = entry["time"]
