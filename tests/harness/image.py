"""Images of converged hosts, from which other hosts start: ``image.py name|existing SCENARIO SUITE``, ``image.py keep SCENARIO SUITE CONTAINER``.

An image is named by a digest of what converged it: the roles, files, playbooks and plugins, the scenario's inventory, the locks of what ran
them, and the bare host's recipe. With another text in any of these it is another image, and the old one is removed.
A host that starts from one still runs the play: its address, name and certificate are its own.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What converges a host, besides the scenario's own molecule.yml.
CONVERGING = (
    "roles",
    "files",
    "playbooks",
    "plugins",
    "site.yml",
    "ansible.cfg",
    "requirements-test.txt",
    ".config/molecule/config.yml",
    "tests/harness/build-base-image",
    "tests/harness/start_host.yml",
    "tests/harness/prepare.yml",
)
COMPILED = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def sources(root: Path, scenario: str) -> Iterator[Path]:
    """All files that count, in a fixed order."""
    for name in (*CONVERGING, f"tests/scenarios/{scenario}/molecule.yml"):
        path = root / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and not COMPILED & set(file.parts))


def name(scenario: str, suite: str, root: Path = ROOT) -> str:
    """The image of a scenario's converged host.

    Args:
        scenario: whose host it is.
        suite: the release of Debian.
        root: the project.
    """
    digest = hashlib.sha256()
    for file in sources(root, scenario):
        for part in (str(file.relative_to(root)).encode(), file.read_bytes()):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return f"{_repository(scenario, suite)}:{digest.hexdigest()[:12]}"


def _repository(scenario: str, suite: str) -> str:
    return f"mlflow-vm/converged-{scenario}-{suite}"


def _docker(*arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=check)


def exists(scenario: str, suite: str) -> bool:
    """Whether there is an image of what the project is now."""
    return _docker("image", "inspect", name(scenario, suite)).returncode == 0


def keep(scenario: str, suite: str, container: str) -> bool:
    """Make an image of a converged container, unless there is one; returns whether it made one.

    The container is paused meanwhile, so that the files are as after a power failure.
    """
    wanted = name(scenario, suite)
    if exists(scenario, suite):
        return False
    _docker("commit", container, wanted, check=True)
    there = _docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", _repository(scenario, suite)).stdout.split()
    for old in set(there) - {wanted}:
        # An image that a container still uses stays.
        _docker("image", "rm", old)
    return True


def main(arguments: list[str]) -> None:
    """Print the image's name, or make it."""
    match arguments:
        case ["name", scenario, suite]:
            print(name(scenario, suite))
        case ["existing", scenario, suite]:
            if exists(scenario, suite):
                print(name(scenario, suite))
        case ["keep", scenario, suite, container]:
            print("made" if keep(scenario, suite, container) else "there", name(scenario, suite))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
