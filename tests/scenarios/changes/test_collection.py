"""The collection of a release provisions a host exactly as the checkout does."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.harness.collection import build, install, run_installed


def test_an_installed_collection_finds_nothing_to_change(tmp_path: Path) -> None:
    """The host was provisioned from the checkout: same files, same digests, same units. No setting of the checkout's ansible.cfg is needed."""
    install(build(tmp_path), tmp_path)
    done = run_installed(tmp_path, Path(os.environ["MOLECULE_INVENTORY_FILE"]), "--check")
    assert re.search(r"changed=0 .*unreachable=0 .*failed=0", done.stdout), done.stdout[-4000:] + done.stderr[-2000:]
    assert done.returncode == 0
