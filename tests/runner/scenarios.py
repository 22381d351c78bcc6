"""The scenarios, as `tests/scenarios/NAME/scenario.yml` describes them.

A description has these keys:

``octet``        the last one of its hosts' loopback address on Debian 12; Debian 13 has the next one
``needs``        what Molecule alone cannot create: ``device``, a block device, and ``certificates``
``environment``  further variables for its molecule.yml, by suite
``starts_from``  a scenario: its host starts from that one's image, if there is one (tests/harness/image.py)
``test``         what `make test` runs of it: a list of runs
``soak``         what `make soak` runs of it: a list of runs
``concerns``     paths of the project, and which tests a change of them concerns (``tests/run --changed``)

A run has ``suite`` and, if it is not all that molecule.yml says, ``tests`` and ``without``, as paths below ``tests/``; ``brief: true``
leaves out check mode and the second run, which another host of the same kind proves, and may start from the scenario's own image;
``environment``, in which ``{root}`` is the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "scenarios"
SUITES = ("bookworm", "trixie")
NEEDS = {"device", "certificates"}


class DescriptionError(ValueError):
    """An invalid description; the message has the file and the reason."""


@dataclass(frozen=True)
class Run:
    """One run of a scenario on one release of Debian."""

    suite: str
    tests: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    brief: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """A description."""

    name: str
    octet: int
    needs: tuple[str, ...] = ()
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    starts_from: str = ""
    test: tuple[Run, ...] = ()
    soak: tuple[Run, ...] = ()
    concerns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def octet_of(self, suite: str) -> int:
        """The last octet of its host's address on one release."""
        return self.octet + SUITES.index(suite)


def _run(name: str, given: Mapping[str, Any]) -> Run:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    try:
        run = Run(**values)
    except TypeError as error:
        raise DescriptionError(f"tests/scenarios/{name}/scenario.yml: {given}: {error}") from error
    if run.suite not in SUITES:
        raise DescriptionError(f"tests/scenarios/{name}/scenario.yml: suite {run.suite} is none of {', '.join(SUITES)}")
    for path in (*run.tests, *run.without):
        if not list((ROOT / "tests").glob(path)):
            raise DescriptionError(f"tests/scenarios/{name}/scenario.yml: there is no tests/{path}")
    return run


def read(path: Path) -> Scenario:
    """Read one description.

    Args:
        path: the file ``scenario.yml``.
    """
    name = path.parent.name
    given: dict[str, Any] = yaml.safe_load(path.read_text())
    for key in ("test", "soak"):
        given[key] = tuple(_run(name, run) for run in given.get(key, []))
    given["needs"] = tuple(given.get("needs", ()))
    if unknown := set(given["needs"]) - NEEDS:
        raise DescriptionError(f"tests/scenarios/{name}/scenario.yml: needs {', '.join(sorted(unknown))}: unknown")
    given["concerns"] = {prefix: tuple(tests) for prefix, tests in given.get("concerns", {}).items()}
    try:
        return Scenario(name, **given)
    except TypeError as error:
        raise DescriptionError(f"tests/scenarios/{name}/scenario.yml: {error}") from error


def scenarios(folder: Path = FOLDER) -> dict[str, Scenario]:
    """All of them by name.

    Args:
        folder: the directory that has a directory for each.

    Raises:
        DescriptionError: If two would have the same address, or one starts from an unknown one.
    """
    found = {path.parent.name: read(path) for path in sorted(folder.glob("*/scenario.yml"))}
    taken: dict[int, str] = {}
    for scenario in found.values():
        for suite in SUITES:
            octet = scenario.octet_of(suite)
            if octet in taken:
                raise DescriptionError(f"{scenario.name} and {taken[octet]} have the address 127.0.0.{octet}")
            taken[octet] = scenario.name
        if scenario.starts_from not in ("", *found):
            raise DescriptionError(f"{scenario.name} starts from {scenario.starts_from}, which there is not")
    return found
