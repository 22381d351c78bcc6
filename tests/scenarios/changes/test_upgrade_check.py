"""Another release of MLflow on a host that serves: refused if its schema differs, and tried on a copy before.

The migration is a real one: from a database of MLflow 3.14.0 to the host's release.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.control import control
from tests.harness.playbook import ROOT, ask, run_playbook

OLD = "3.14.0"
VARIABLES = {"mlflow_version": OLD, "__mlflow_lock": str(ROOT / "tests" / "locks" / f"server-{OLD}.txt")}
LEFT = "ls -d /var/lib/mlflow-backup/*.dump /run/mlflow-upgrade-check; runuser -u postgres -- psql -Atc 'SELECT datname FROM pg_database ORDER BY 1'"
REVISION = "psql -U postgres mlflow -Atc 'SELECT version_num FROM alembic_version'"

# The data of an old server, and this project's additional indexes.
OLD_DATABASE = """
import json, os, time
import sqlalchemy
from mlflow.entities import Metric, Param
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow_host.database import indexes

uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
store = SqlAlchemyStore(uri, "mlflow-artifacts:/")
experiment = store.create_experiment("of an old server")
now = int(time.time() * 1000)
for number in range(50):
    run = store.create_run(experiment, "ada", now, [], f"run-{number}").info.run_id
    store.log_batch(run, [Metric("loss", 1 / (number + 1), now, step) for step in range(20)], [Param("seed", str(number))], [])
print(json.dumps(indexes.add(sqlalchemy.create_engine(uri))))
"""


# A changed source of a function that a safety patch replaces, as a later release may have it.
MISFIT = """
import inspect
from pathlib import Path
from mlflow_host.core import known
from mlflow_host.patches import registry

patch = next(patch for patch in registry.all_patches().values() if patch.kind == known.SAFETY and patch.replaces)
found = known.resolve(patch.replaces[0])
path, text = Path(inspect.getsourcefile(found)), inspect.getsource(found)
path.write_text(path.read_text().replace(text, text.rstrip() + "  # of another release\\n"))
print(patch.name)
"""


def in_release(host: Any, version: str, code: str) -> Any:
    """Run Python of an installed release as MLflow's user, on its database; returns the JSON that it prints last."""
    command = "systemd-run --quiet --wait --pipe --uid=mlflow --property=EnvironmentFile=/etc/mlflow/mlflow.env"
    done = host.run(f"{command} /opt/mlflow/releases/{version}-*/bin/python -W ignore - <<'PYTHON'\n{code}\nPYTHON")
    assert done.rc == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def old_database(host: Any) -> Iterator[list[str]]:
    """Replaces the host's database by one of the old release; yields the names of its additional indexes."""

    def swap(*statements: str) -> None:
        host.check_output(
            "systemctl stop mlflow.target mlflow.socket mlflow-asgi.socket mlflow.service mlflow-asgi.service"
        )
        for statement in statements:
            host.check_output(f"runuser -u postgres -- psql -qc '{statement}'")

    swap("ALTER DATABASE mlflow RENAME TO kept", "CREATE DATABASE mlflow OWNER mlflow")
    yield in_release(host, OLD, OLD_DATABASE)
    swap("DROP DATABASE mlflow WITH (FORCE)", "ALTER DATABASE kept RENAME TO mlflow")
    host.check_output("systemctl start mlflow.socket mlflow.target mlflow.service")


def test_a_release_that_the_database_does_not_fit_is_not_switched_to(host: Any) -> None:
    """The play stops with the reason; the current release still serves, and a play without the change does nothing."""
    state = "readlink /opt/mlflow/current; systemctl show -p MainPID mlflow.service"
    before = host.check_output(state)
    done = run_playbook(VARIABLES, ("--tags", "mlflow"))
    assert done.returncode == 2, done.stdout[-3000:]
    words = " ".join(done.stdout.split())
    assert (
        f"mlflow_version is {OLD}, and nothing was switched: refusing to start: the database has schema revision"
        in words
    )
    assert host.check_output(state) == before
    assert ask(host, "ada", "correct-horse-battery").ok
    assert "changed=0 " in run_playbook(arguments=("--tags", "mlflow")).stdout

    # As after a refused restore: the current release has never started. Switching back works.
    host.check_output(f"ln -sfn /opt/mlflow/releases/{OLD}-* /opt/mlflow/current")
    back = run_playbook(arguments=("--tags", "mlflow"))
    assert back.returncode == 0, back.stdout[-3000:]
    assert host.check_output("readlink /opt/mlflow/current") == before.splitlines()[0]
    assert ask(host, "ada", "correct-horse-battery").ok


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for the same packages under another name."""
    lock = tmp_path_factory.mktemp("another") / "lock.txt"
    lock.write_text((ROOT / "files" / "locks" / "mlflow-3.17.2.txt").read_text() + "# another\n")
    return {"__mlflow_lock": str(lock)}


def test_a_release_of_the_same_schema_is_switched_to_and_back(host: Any, another: dict[str, str]) -> None:
    """MLflow restarts with it, and with the old one when the change is taken back; a second run changes nothing."""
    state = "readlink /opt/mlflow/current; systemctl show -p MainPID mlflow.service"
    only, before = ("--tags", "mlflow"), host.check_output(state)
    for variables in (another, {}):
        done = run_playbook(variables, only)
        assert done.returncode == 0, done.stdout[-3000:]
        release, process = host.check_output(state).splitlines()
        assert release not in before or not variables
        assert process not in before
        assert ask(host, "ada", "correct-horse-battery").json()["ready"]
        if variables:
            assert "changed=0 " in run_playbook(variables, only).stdout
    assert host.check_output(state).splitlines()[0] == before.splitlines()[0]


def test_a_release_that_a_safety_patch_does_not_fit_is_not_switched_to(host: Any, another: dict[str, str]) -> None:
    """The play names the patch before it switches, in check mode, too; nor does the release start."""
    state = "readlink /opt/mlflow/current; systemctl show -p MainPID mlflow.service"
    before = host.check_output(state)
    serving = Path(before.splitlines()[0]).name
    other = host.check_output(f"ls -d /opt/mlflow/releases/3.17.2-* | grep --invert-match {serving}")
    patch = host.check_output(
        f"PYTHONPATH=$(ls -dt /opt/mlflow/host/*/ | head -n 1) {other}/bin/python -B -W ignore - <<'PYTHON'\n{MISFIT}\nPYTHON"
    )
    try:
        for mode in ((), ("--check",)):
            done = run_playbook(another, ("--tags", "mlflow", *mode))
            words = " ".join(done.stdout.split())
            assert done.returncode == 2, words[-3000:]
            assert "nothing was switched" in words
            assert f"a safety patch does not fit it: {patch.splitlines()[-1]} (" in words
            assert host.check_output(state) == before
    finally:
        host.check_output(f"rm --recursive {other}")
    assert ask(host, "ada", "correct-horse-battery").ok


def test_a_release_that_is_too_old_is_reported_as_such(host: Any) -> None:
    """The playbook tries it on a copy and reports the problem; the copy is removed."""
    before = host.run(LEFT).stdout
    done = run_playbook(VARIABLES, playbook="playbooks/upgrade_check.yml")
    assert done.returncode == 2, done.stdout[-3000:]
    assert f"MLflow {OLD} cannot migrate this database" in done.stdout
    assert "it is older than the database" in done.stdout
    assert host.run(LEFT).stdout == before
    assert "3.1.0 is not installed on this host" in control(host, "upgrade-check 3.1.0", expect=2)["error"]


def test_the_release_that_serves_needs_no_migration(host: Any) -> None:
    """The playbook reports that."""
    done = run_playbook(playbook="playbooks/upgrade_check.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "migration: false" in done.stdout


def test_a_migration_is_tried_on_a_copy(host: Any, old_database: list[str]) -> None:
    """From 3.14.0: rows and indexes stay, the database itself is not touched, and a failed migration is reported."""
    assert {"vm_runs_start_time", "vm_params_value"} <= set(old_database)
    before, left = host.check_output(REVISION), host.run(LEFT).stdout
    # As after a killed check.
    host.check_output(
        "touch /var/lib/mlflow-backup/upgrade-check.dump; psql -U postgres -qc 'CREATE DATABASE mlflow_upgrade_check'"
    )
    facts = control(host, "upgrade-check 3.17.2")
    assert facts["migration"] is True
    assert facts["from"] == before != facts["to"]
    assert facts["indexes_lost"] == facts["indexes_made"] == []
    assert facts["migration_seconds"] > 0
    assert host.check_output(REVISION) == before
    assert host.run(LEFT).stdout == left

    # One index is missing: it is created, not reported as lost.
    host.check_output("psql -U postgres mlflow -qc 'DROP INDEX vm_runs_start_time'")
    facts = control(host, "upgrade-check 3.17.2")
    assert (facts["indexes_lost"], facts["indexes_made"]) == ([], ["vm_runs_start_time"])

    # Rows that a migration deletes, and a migration that fails.
    trigger = "CREATE RULE gone AS ON UPDATE TO alembic_version DO ALSO DELETE FROM metrics"
    host.check_output(f"psql -U postgres mlflow -qc '{trigger}'")
    assert "metrics: 1000 rows, then 0" in control(host, "upgrade-check 3.17.2", expect=1)["error"]
    host.check_output(
        "psql -U postgres mlflow -qc 'DROP RULE gone ON alembic_version; ALTER TABLE runs DROP COLUMN status'"
    )
    host.check_output("psql -U postgres mlflow -qc 'ALTER TABLE spans RENAME TO spans_once'")
    assert "its migrations fail with" in control(host, "upgrade-check 3.17.2", expect=1)["error"]
    assert host.check_output(REVISION) == before
    assert host.run(LEFT).stdout == left
