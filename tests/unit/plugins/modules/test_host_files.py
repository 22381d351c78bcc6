"""The module that writes all files of a role in one call."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).parents[4] / "plugins" / "modules" / "host_files.py"
OWNER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name


def run(check: bool = False, **parameters: Any) -> dict[str, Any]:
    """Run the module as Ansible does, with JSON arguments on standard input."""
    arguments = {"ANSIBLE_MODULE_ARGS": parameters | {"_ansible_check_mode": check}}
    # Ansible 2.19 sets the profile for serialization in its own wrapper.
    code = (
        "import sys, json; from ansible.module_utils import basic; basic._ANSIBLE_PROFILE = 'legacy';"
        f"basic._ANSIBLE_ARGS = sys.stdin.buffer.read(); exec(compile(open({str(MODULE)!r}).read(), 'm', 'exec'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(arguments), capture_output=True, text=True, check=False
    )
    result: dict[str, Any] = json.loads(done.stdout or f'{{"failed": true, "msg": {json.dumps(done.stderr)}}}')
    return result


@pytest.fixture
def wanted(tmp_path: Path) -> dict[str, Any]:
    """One directory with one file in it."""
    return {
        "directories": [{"path": str(tmp_path / "d"), "owner": OWNER, "group": GROUP, "mode": "0750"}],
        "files": [{"dest": str(tmp_path / "d" / "f"), "owner": OWNER, "group": GROUP, "mode": "0640"}],
        "contents": ["text\n"],
    }


def test_writes_once(wanted: dict[str, Any], tmp_path: Path) -> None:
    """The first run writes, the second changes nothing; times and links are returned."""
    os.symlink("target", tmp_path / "link")
    first = run(**wanted, stat=[str(tmp_path / "link"), str(tmp_path / "none")])
    file = tmp_path / "d" / "f"
    assert first["changed"], first
    assert first["written"] == [str(file)]
    assert file.read_text() == "text\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert first["diff"][0]["after"] == "text\n"
    assert first["links"] == {str(tmp_path / "link"): "target"}
    assert set(first["times"]) == {str(file), str(tmp_path / "link")}
    second = run(**wanted)
    assert not second["changed"]
    assert second["written"] == []


def test_check_mode_writes_nothing(wanted: dict[str, Any], tmp_path: Path) -> None:
    """It returns what would be written, on a new host."""
    message = run(check=True, **wanted)
    assert message["changed"]
    assert message["written"] == [str(tmp_path / "d" / "f")]
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("drift", ["content", "mode", "directory"])
def test_drift_is_repaired(wanted: dict[str, Any], tmp_path: Path, drift: str) -> None:
    """Content, the mode of a file, the mode of a directory: each is detected and repaired."""
    run(**wanted)
    file = tmp_path / "d" / "f"
    match drift:
        case "content":
            file.write_text("other")
        case "mode":
            file.chmod(0o666)
        case "directory":
            file.parent.chmod(0o777)
    message = run(**wanted)
    assert message["changed"]
    assert message["written"] == ([str(file)] if drift == "content" else [])
    assert not run(**wanted)["changed"]


def test_refuses_invalid_arguments(wanted: dict[str, Any], tmp_path: Path) -> None:
    """A file where a directory should be; more files than contents."""
    (tmp_path / "d").write_text("in the way")
    assert "is not a directory" in run(**wanted)["msg"]
    assert "one content for each file" in run(**(wanted | {"contents": []}))["msg"]
