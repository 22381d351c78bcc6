"""The collection, built and installed the way an operator without a checkout gets it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = "bare_metal.mlflow"


def _run(
    command: list[str], folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    # No settings of this project or of the scenario that runs the test.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHONPATH"))}
    config = folder / "ansible.cfg"
    config.write_text("")
    own = {"ANSIBLE_CONFIG": str(config), "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        command,
        cwd=folder,
        env=inherited | own | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def build(folder: Path) -> Path:
    """The archive of a release, made from the checkout as it is.

    Args:
        folder: an empty directory.
    """
    done = _run(["ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(folder)], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = folder.glob("*.tar.gz")
    return archive


def install(archive: Path, folder: Path) -> Path:
    """Install an archive without the network; returns the directory of the collection.

    Args:
        archive: of :func:`build`.
        folder: a directory without collections.
    """
    path = folder / "collections"
    command = ["ansible-galaxy", "collection", "install", "--offline", "--no-deps", "-p", str(path), str(archive)]
    done = _run(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return path / "ansible_collections" / NAME.replace(".", "/")


def run_installed(
    folder: Path, inventory: Path, *arguments: str, playbooks: Sequence[str] = ("site",)
) -> subprocess.CompletedProcess[str]:
    """Run playbooks of the collection by their full names, with no access to the checkout.

    Args:
        folder: as for :func:`install`.
        inventory: file or directory.
        arguments: further arguments of ansible-playbook.
        playbooks: their names in the collection.
    """
    names = [f"{NAME}.{playbook}" for playbook in playbooks]
    command = ["ansible-playbook", *names, "-i", str(inventory), *arguments]
    return _run(command, folder, {"ANSIBLE_COLLECTIONS_PATH": str(folder / "collections")})
