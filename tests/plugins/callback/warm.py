"""Import plugins once, before the first task, and cache packed modules between plays.

Ansible runs each task in a fork, which imports filters and plugins anew as long as the parent has not, and packs each module with
what it imports once in each play. Neither depends on the host, and tests run some fifty plays. On the host each task compiles what was
packed, which is half of what it costs there; where the host has the controller's version of Python, a kept module has that compiled besides its source.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import importlib.util
import io
import marshal
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.executor.module_common import _CachedModule
from ansible.plugins import loader
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: warm
    type: aggregate
    short_description: load plugins before the first fork
    description: For tests, which run many plays.
"""

ROOT = Path(__file__).parents[3]
# The Python of each release of Debian; SUITE is the host's, and a module has one compiled file.
PYTHONS = {"bookworm": (3, 11), "trixie": (3, 13)}
# Names of plugins that our tasks use, by the kind of plugin.
USED = {
    "connection_loader": ("community.docker.docker", "ansible.builtin.local"),
    "action_loader": (
        "normal",
        "command",
        "copy",
        "assert",
        "fail",
        "debug",
        "set_fact",
        "include_vars",
        "validate_argument_spec",
    ),
    "become_loader": ("sudo",),
    "shell_loader": ("sh",),
    "lookup_loader": ("file", "template", "items", "env", "vars", "pipe"),
}


def compiled(packed: bytes) -> bytes:
    """A packed module with compiled files beside its sources, which are not compared with them (PEP 552)."""
    packing = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(base64.b64decode(packed))) as given,
        zipfile.ZipFile(packing, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for file in given.infolist():
            source = given.read(file)
            made.writestr(file, source, zipfile.ZIP_DEFLATED)
            if file.filename.endswith(".py"):
                code = marshal.dumps(compile(source, file.filename, "exec", dont_inherit=True))
                head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
                made.writestr(zipfile.ZipInfo(f"{file.filename}c", file.date_time), head + code, zipfile.ZIP_DEFLATED)
    return base64.b64encode(packing.getvalue())


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """Imports plugins when a playbook begins, and stores modules when it ends."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "warm"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._packed = Path(constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache"
        digest = hashlib.sha256((ROOT / "requirements-test.txt").read_bytes())
        for module in sorted((ROOT / "plugins" / "modules").glob("*.py")):
            digest.update(module.read_bytes())
        self._compiles = PYTHONS.get(os.environ.get("SUITE", "")) == sys.version_info[:2]
        self._kept = (
            ROOT / ".cache" / "modules" / f"{digest.hexdigest()[:12]}-{'compiled' if self._compiles else 'source'}"
        )

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Before the first fork."""
        for jinja in (loader.filter_loader, loader.test_loader):
            list(jinja.all())
        for kind, names in USED.items():
            for name in names:
                getattr(loader, kind).get(name, class_only=True)
        if self._kept.is_dir():
            shutil.copytree(self._kept, self._packed, dirs_exist_ok=True)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """After the last task. Files are written atomically, because other plays read them meanwhile."""
        self._kept.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            for file in self._packed.iterdir():
                wanted = self._kept / file.name
                if file.is_file() and not file.name.endswith((".lock", "-part")) and not wanted.exists():
                    own = wanted.with_name(f"{file.name}.{os.getpid()}")
                    module = _CachedModule.load(str(file))
                    data = compiled(module.zip_data) if self._compiles else module.zip_data
                    dataclasses.replace(module, zip_data=data).dump(str(own))
                    own.rename(wanted)
