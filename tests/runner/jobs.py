"""Jobs: stages that belong together and run one after another, on one processor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.harness import image
from tests.runner.scenarios import ROOT, Run, Scenario
from tests.runner.stages import RESULTS, Log, Stage

# Other names and addresses, for a second run on the same machine: added to each host's octet.
PREFIX = os.environ.get("TEST_PREFIX", "")
SHIFT = int(os.environ.get("TEST_OCTETS", "0"))
BRIEF = ("destroy", "create", "prepare", "converge", "verify", "destroy")
DEVICE_BYTES = 2 << 30


@dataclass(frozen=True)
class Job:
    """Some stages under one name; all of them run, whichever fails."""

    name: str
    stages: tuple[Stage, ...]
    # The name of the job whose host this one starts from.
    after: str = ""

    def ready(self) -> bool:
        """Whether it may begin although the job before it has not ended."""
        return False

    def run(self, log: Log) -> None:
        """Run the stages."""
        for stage in self.stages:
            log.run(stage)


@dataclass(frozen=True)
class ScenarioJob(Job):
    """A scenario on one release."""

    scenario: Scenario | None = None
    suite: str = ""

    def ready(self) -> bool:
        """As soon as the image exists from which its host starts."""
        assert self.scenario is not None
        return bool(self.after) and image.exists(self.scenario.starts_from, self.suite)

    def run(self, log: Log) -> None:
        """Create what Molecule cannot create, run it, and remove that again."""
        assert self.scenario is not None
        environment = dict(self.stages[0].environment)
        # Containers of an interrupted run would occupy this one's ports.
        subprocess.run(["docker", "rm", "--force", PREFIX + self.name], capture_output=True, check=False)
        with ExitStack() as kept:
            try:
                if "certificates" in self.scenario.needs:
                    make = [sys.executable, "tests/harness/certificates.py", environment["CERTIFICATES"]]
                    subprocess.run([*make, environment["ADDRESS"]], cwd=ROOT, check=True, capture_output=True)
                if "device" in self.scenario.needs:
                    environment["LOOP_DEVICE"] = device = loop_device(PREFIX + self.name)
                    kept.callback(subprocess.run, ["losetup", "--detach", device], check=False)
            except (OSError, subprocess.CalledProcessError) as error:
                log.broke(self.name, f"no device or certificates: {error}")
                return
            log.run(Stage(self.name, self.stages[0].command, environment))


def loop_device(name: str) -> str:
    """A blank block device to give to a host; returns its path."""
    file = ROOT / ".cache" / f"volume-{name}.img"
    file.unlink(missing_ok=True)
    with file.open("wb") as blank:
        blank.truncate(DEVICE_BYTES)
    command = ["losetup", "--find", "--show", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def of_scenario(scenario: Scenario, run: Run, keep: bool = False) -> ScenarioJob:
    """The job that runs a scenario once.

    Args:
        scenario: its description.
        run: how.
        keep: whether a brief one keeps its converged host as an image, for later runs. The whole sequence does.
    """
    name, suite = f"{scenario.name}-{run.suite}", run.suite
    environment = {
        "SUITE": suite,
        "ADDRESS": f"127.0.0.{scenario.octet_of(suite) + SHIFT}",
        "MOLECULE_EPHEMERAL_DIRECTORY": str(ROOT / ".cache" / "molecule" / (PREFIX + name)),
        "CERTIFICATES": str(ROOT / ".cache" / "certificates" / (PREFIX + name)),
        "LOOP_DEVICE": "/dev/null",
        **scenario.environment.get(suite, {}),
        **{name: value.format(root=ROOT) for name, value in run.environment.items()},
    }
    if run.tests:
        # A list for molecule.yml, which has one of its own.
        environment["TESTS"] = f"[{', '.join(f'../{path}' for path in run.tests)}]"
    if run.without:
        left_out = " ".join(f"--deselect=tests/{path.removesuffix('*.py')}" for path in run.without)
        environment["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} --rootdir={ROOT} {left_out}"
    if run.brief:
        steps = [step for name in BRIEF for step in ([name, "side_effect"] if keep and name == "converge" else [name])]
        environment |= {"SEQUENCE": f"[{', '.join(steps)}]", "STARTS_FROM": scenario.name}
    stage = Stage(name, ("molecule", "test", "--scenario-name", scenario.name), environment)
    after = f"{scenario.starts_from}-{suite}" if scenario.starts_from else ""
    return ScenarioJob(name, (stage,), after, scenario, suite)


def pytest(name: str, paths: Iterable[str | Path]) -> Stage:
    """A stage of tests that need no host."""
    return Stage(name, ("pytest", "-q", *paths, f"--junitxml={RESULTS / name}.xml"))


FAST = Job("fast", (pytest("fast", ["tests/unit"]),))
LINT = Job(
    "lint",
    (
        Stage("yamllint", ("yamllint", "--strict", ".")),
        Stage("ansible-lint", ("ansible-lint", "--offline")),
        Stage("ruff", ("sh", "-c", "ruff check . && ruff format --check .")),
        Stage("mypy", ("mypy",)),
    ),
)
ENGINE = Job("engine", (pytest("engine", ["tests/engine"]),))
DEMO = Job("demo", (Stage("old-clients", ("scripts/setup", "old-clients")), pytest("demo", ["tests/demo"])))
