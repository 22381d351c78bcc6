#!/usr/bin/python
"""Directories and rendered files of a host, all of them in one call."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.converters import to_bytes, to_text

DOCUMENTATION = """
module: host_files
short_description: Directories and rendered files of a host, all of them in one call
description:
  - Creates directories, then writes the files whose content differs, then sets owner, group and mode of both.
  - The template and file modules ask the host two or three times for each path. A role here has a dozen of them.
  - Each file is replaced as a whole, or not at all. Supports check mode and diff mode.
options:
  directories:
    description: Each with C(path), C(group), C(mode), and C(owner), which is root if not given. In the order given.
    type: list
    elements: dict
    default: []
  files:
    description: Each with C(dest), C(group), C(mode), and C(owner), which is root if not given.
    type: list
    elements: dict
    default: []
  contents:
    description: The content of each file, in the same order. No secrets, they would show in a diff.
    type: list
    elements: raw
    default: []
  stat:
    description: Further paths to report in C(times) and C(links), if they exist.
    type: list
    elements: str
    default: []
author: The project's contributors
"""

RETURN = """
written:
  description: The files whose content was written.
  type: list
  returned: always
times:
  description: When each file and further path was last written, in seconds since 1970. Missing ones are left out.
  type: dict
  returned: always
links:
  description: Where those of them that are symbolic links point to.
  type: dict
  returned: always
"""


def _attributes(module: AnsibleModule, path: str, wanted: dict[str, Any]) -> bool:
    """Set owner, group and mode; returns whether anything differed."""
    arguments = {
        "path": path,
        "owner": wanted.get("owner", "root"),
        "group": wanted["group"],
        "mode": wanted["mode"],
        "seuser": None,
        "serole": None,
        "setype": None,
        "selevel": None,
        "secontext": [None, None, None],
        "attributes": None,
    }
    return bool(module.set_fs_attributes_if_different(arguments, False))


def _directory(module: AnsibleModule, wanted: dict[str, Any]) -> bool:
    """Create one directory, with parents according to the umask."""
    path = wanted["path"]
    if os.path.isdir(path):
        return _attributes(module, path, wanted)
    if os.path.lexists(path):
        module.fail_json(msg=f"{path} exists and is not a directory: move it elsewhere, then run again")
    if not module.check_mode:
        os.makedirs(path)
        _attributes(module, path, wanted)
    return True


def _content(path: str) -> bytes | None:
    """The content of a file, or ``None``."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _file(module: AnsibleModule, wanted: dict[str, Any], content: bytes) -> tuple[bool, dict[str, str] | None]:
    """Write one file if it differs; returns whether anything changed, and the difference."""
    path = wanted["dest"]
    before = _content(path)
    if before == content:
        return _attributes(module, path, wanted), None
    if not module.check_mode:
        descriptor, partial = tempfile.mkstemp(dir=module.tmpdir)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        module.atomic_move(partial, path)
        _attributes(module, path, wanted)
    difference = {
        "before_header": path,
        "after_header": path,
        "before": to_text(before or b"", errors="surrogate_or_replace"),
        "after": to_text(content),
    }
    return True, difference


def main() -> None:
    """The module."""
    module = AnsibleModule(
        argument_spec={
            "directories": {"type": "list", "elements": "dict", "default": []},
            "files": {"type": "list", "elements": "dict", "default": []},
            "contents": {"type": "list", "elements": "raw", "default": []},
            "stat": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    files, contents = module.params["files"], module.params["contents"]
    if len(files) != len(contents):
        module.fail_json(
            msg=f"files has {len(files)} entries and contents {len(contents)}: give one content for each file"
        )

    changed, written, differences = False, [], []
    for directory in module.params["directories"]:
        changed |= _directory(module, directory)
    for wanted, content in zip(files, contents):  # noqa: B905 - the lengths are equal; the host's Python may be old
        different, difference = _file(module, wanted, to_bytes(content))
        changed |= different
        if difference is not None:
            written.append(wanted["dest"])
            differences.append(difference)

    times, links = {}, {}
    for path in [wanted["dest"] for wanted in files] + module.params["stat"]:
        try:
            times[path] = os.lstat(path).st_mtime
        except FileNotFoundError:
            continue
        if os.path.islink(path):
            links[path] = os.readlink(path)
    module.exit_json(changed=changed, written=written, times=times, links=links, diff=differences)


if __name__ == "__main__":
    main()
