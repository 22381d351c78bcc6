"""The test runner: descriptions of scenarios, the order of jobs, and what a change concerns."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml

from tests.runner import __main__ as runner
from tests.runner import changed, jobs, lanes
from tests.runner.scenarios import FOLDER, ROOT, SUITES, DescriptionError, Run, Scenario, read, scenarios
from tests.runner.stages import Log, Stage

KNOWN = scenarios()


def test_every_scenario_has_a_description() -> None:
    """Beside the molecule.yml, and the other way round."""
    folders = {path.parent.name for path in FOLDER.glob("*/molecule.yml")}
    assert folders == set(KNOWN)
    assert len(folders) > 4


@pytest.mark.parametrize("scenario", KNOWN.values(), ids=list(KNOWN))
def test_a_description_fits_its_molecule_file(scenario: Scenario) -> None:
    """Name, address and device are those of molecule.yml; what it says of a change exists."""
    text = (FOLDER / scenario.name / "molecule.yml").read_text()
    assert f"127.0.0.{scenario.octet}}}" in text
    assert ("LOOP_DEVICE" in text) == ("device" in scenario.needs)
    assert scenario.test
    if scenario.starts_from:
        assert f"starts_from: {scenario.starts_from}\n" in text
        assert "keep: true" in (FOLDER / scenario.starts_from / "molecule.yml").read_text()
    for prefix, tests in scenario.concerns.items():
        assert (ROOT / prefix).exists(), prefix
        for test in tests:
            assert (ROOT / "tests" / test).exists(), test


def test_every_test_file_runs_in_make_test() -> None:
    """In some scenario: none is left out on all hosts."""
    ran = set()
    for scenario in KNOWN.values():
        own = yaml.safe_load((FOLDER / scenario.name / "molecule.yml").read_text())
        default = own["verifier"]["additional_files_or_dirs"]
        for run in scenario.test:
            paths = run.tests or [word.removeprefix("../") for word in default.split(":-[")[1].rstrip("]}").split(", ")]
            given = [found for path in paths for found in (ROOT / "tests").glob(path)]
            files = {file for path in given for file in ([path] if path.is_file() else path.rglob("test_*.py"))}
            ran |= files - {file for path in run.without for file in (ROOT / "tests").glob(path)}
    there = {file for place in ("host", "scenarios") for file in (ROOT / "tests" / place).rglob("test_*.py")}
    assert ran == there


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("octet: 40\nneeds: [moon]", "needs moon"),
        ("octet: 40\ntest: [{suite: sarge}]", "suite sarge is none of bookworm, trixie"),
        ("octet: 40\ntest: [{suite: trixie, tests: [nowhere]}]", "there is no tests/nowhere"),
        ("octet: 40\ntest: [{suite: trixie, tsts: []}]", "tsts"),
        ("octet: 40\nspeed: 2", "speed"),
    ],
)
def test_a_wrong_description_is_named(tmp_path: Path, text: str, words: str) -> None:
    """With the file and what is wrong."""
    file = tmp_path / "odd" / "scenario.yml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(DescriptionError, match=r"tests/scenarios/odd/scenario\.yml") as found:
        read(file)
    assert words in str(found.value)


def test_two_scenarios_never_have_one_address(tmp_path: Path) -> None:
    """One's second release is not the other's first."""
    for name, octet in (("one", 40), ("two", 41)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scenario.yml").write_text(f"octet: {octet}")
    with pytest.raises(DescriptionError, match=r"two and one have the address 127\.0\.0\.41"):
        scenarios(tmp_path)


def test_a_job_says_molecule_what_to_run() -> None:
    """By the environment of its one stage."""
    run = Run(
        "trixie",
        ("host", "scenarios/default"),
        ("host/test_abuse.py", "scenarios/default/recovery/test_p*.py"),
        brief=True,
    )
    job = jobs.of_scenario(KNOWN["default"], run)
    (stage,) = job.stages
    assert stage.name == job.name == "default-trixie"
    assert stage.environment["TESTS"] == "[../host, ../scenarios/default]"
    assert stage.environment["SUITE"] == "trixie"
    assert stage.environment["ADDRESS"] == f"127.0.0.{13 + jobs.SHIFT}"
    assert stage.environment["SEQUENCE"] == "[destroy, create, prepare, converge, verify, destroy]"
    left_out = stage.environment["PYTEST_ADDOPTS"]
    assert left_out.endswith(" --deselect=tests/host/test_abuse.py --deselect=tests/scenarios/default/recovery/test_p")
    (kept,) = jobs.of_scenario(KNOWN["default"], run, keep=True).stages
    assert kept.environment["SEQUENCE"] == "[destroy, create, prepare, converge, side_effect, verify, destroy]"


@pytest.mark.parametrize(
    "words",
    [
        "default trixie host/test_links.py host/test_ui.py --brief",
        "default trixie --brief host/test_links.py host/test_ui.py",
        "default --brief trixie host/test_links.py host/test_ui.py",
        "default trixie host/test_links.py --brief host/test_ui.py",
    ],
)
def test_options_may_stand_anywhere_after_the_scenario(words: str) -> None:
    """Before, between or after the paths."""
    asked = runner.arguments(list(KNOWN), words.split())
    assert (asked.what, asked.suite, asked.brief) == ("default", "trixie", True)
    assert asked.tests == ["host/test_links.py", "host/test_ui.py"]


def test_options_alone_keep_the_defaults() -> None:
    """And what is no option of this scenario is refused."""
    asked = runner.arguments(list(KNOWN), ["default", "--brief"])
    assert (asked.suite, asked.tests, asked.brief) == (SUITES[0], [], True)
    asked = runner.arguments(list(KNOWN), ["--changed", "--list", "HEAD~3"])
    assert (asked.what, asked.base, asked.list) == ("changed", "HEAD~3", True)
    for words in ("default trixie --breif", "default sarge", "all more", "fast --brief"):
        with pytest.raises(SystemExit):
            runner.arguments(list(KNOWN), words.split())


def test_the_longest_job_begins_first() -> None:
    """After those without a recorded time; one that others wait for counts with the longest of those."""
    made = [jobs.Job(name, (), after) for name, after in (("short", ""), ("long", ""), ("new", ""), ("last", "short"))]
    order = lanes.longest_first(made, {"short": 5, "long": 50, "last": 70})
    assert [job.name for job in order] == ["new", "short", "last", "long"]
    assert [job.name for job in lanes.longest_first(made[:2], {"short": 5, "long": 50})] == ["long", "short"]


class Noted(jobs.Job):
    """A job that records when it runs; `wait` lets it end."""

    order: list[str]
    wait: threading.Event

    def run(self, log: Log) -> None:
        """Note the name."""
        Noted.order.append(self.name)
        if self.name == "broken":
            raise OSError("no such thing")
        if self.name == "first":
            assert Noted.wait.wait(10)


def test_a_job_waits_for_the_one_whose_host_it_starts_from(capsys: pytest.CaptureFixture[str]) -> None:
    """Others overtake it; one that fails does not stop others, and is counted."""
    Noted.order, Noted.wait = [], threading.Event()

    class Last(Noted):
        def run(self, log: Log) -> None:
            super().run(log)
            Noted.wait.set()

    log = Log()
    made = [Noted("first", ()), Noted("second", (), "first"), Noted("broken", ()), Last("other", ())]
    queue = lanes.Lanes(made, log, poll_seconds=0.01)
    queue.run(2)
    assert Noted.order == ["first", "broken", "other", "second"]
    assert log.failed == ["broken"]
    assert set(queue.took) == {"first", "second", "broken", "other"}
    assert "no such thing" in capsys.readouterr().out


def test_what_jobs_took_is_kept(tmp_path: Path) -> None:
    """For those that ran; the others keep their times."""
    file = tmp_path / "seconds.json"
    lanes.record({"a": 1, "b": 2}, file)
    lanes.record({"b": 3}, file)
    assert lanes.recorded(file) == {"a": 1, "b": 3}


def test_the_recorded_jobs_are_those_of_make_test() -> None:
    """None has the name of another, and none that is timed is gone; one that is new begins first until it is timed."""
    names = [job.name for job in runner.in_test(KNOWN)]
    assert len(names) == len(set(names))
    assert set(lanes.recorded()) <= set(names)


def test_a_failed_stage_shows_its_output(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of its output; one that succeeds a line."""
    monkeypatch.setattr("tests.runner.stages.RESULTS", tmp_path)
    log = Log()
    assert log.run(Stage("good", ("sh", "-c", "echo quiet; test $X = y"), {"X": "y"}))
    assert not log.run(Stage("bad", ("sh", "-c", "echo a reason; exit 3")))
    said = capsys.readouterr().out
    assert "== good" in said
    assert "quiet" not in said
    assert "a reason" in said
    assert log.failed == ["bad"]


@pytest.mark.parametrize(
    ("path", "some", "others"),
    [
        ("files/mlflowctl/mlflowctl/stores/database/postgresql/archive.py", "test_archive.py", "test_abuse.py"),
        ("files/mlflow_host/service/spans.py", "test_bounds.py", "test_archive.py"),
        ("tests/abuse/slow.py", "test_abuse.py", "test_bounds.py"),
        ("tests/unit/tests/test_runner.py", "test_runner.py", "test_bounds.py"),
    ],
)
def test_a_module_concerns_the_tests_that_import_it(path: str, some: str, others: str) -> None:
    """Also indirectly, and no others."""
    names = {Path(test).name for test in changed.unit_tests([path])}
    assert some in names
    assert others not in names


def test_what_is_no_module_concerns_all_unit_tests() -> None:
    """A role, a document; tests of hosts concern none."""
    assert changed.unit_tests(["roles/mlflow/tasks/main.yml"]) == [changed.UNIT]
    assert changed.unit_tests(["tests/host/test_links.py", "tests/scenarios/bare/molecule.yml"]) == []


def test_a_change_concerns_scenarios_by_their_descriptions() -> None:
    """A test file itself, a helper its directory, a role the tests of the longest path."""
    found = changed.scenario_tests(
        [
            "tests/host/test_links.py",
            "tests/scenarios/changes/at_once/switches.py",
            "tests/scenarios/changes/at_once/test_outbound.py",
            "playbooks/uninstall.yml",
            "README.md",
        ],
        KNOWN,
    )
    assert {name: run.tests for name, run in found.items()} == {
        "bare": ("scenarios/bare/test_zero_left.py",),
        "changes": ("scenarios/changes/at_once",),
        "default": ("host/test_links.py",),
    }
