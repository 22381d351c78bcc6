"""A recovery point contains all writes that were acknowledged before it, with any names of files."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CLIENT_PYTHON = HERE.parents[3] / ".venv-client" / "bin" / "python"
# In `make soak`: number of points under load, each at a random moment.
POINTS = int(os.environ.get("SOAK_POINTS", "1"))
PER_LOAD = 5


@pytest.fixture(scope="module")
def model(host: Any) -> str:
    """Path of the script that trains and registers a real model."""
    return str(HERE.parents[3] / "examples" / "train.py")


def test_timers_have_a_next_elapse(host: Any) -> None:
    """Each timer is enabled, runs, and has a next elapse."""
    for operation in ("backup", "prune", "check", "drill"):
        timer = host.service(f"mlflow-{operation}.timer")
        assert timer.is_enabled
        assert timer.is_running
        assert host.check_output("systemctl show -p NextElapseUSecRealtime --value mlflow-%s.timer", operation)


def test_a_terminal_gets_a_bar_and_a_pipe_plain_lines(host: Any) -> None:
    """Progress for a terminal; only lines for a log."""
    watched = host.check_output("TERM=xterm script --quiet --return --command 'mlflowctl backup' /dev/null")
    assert "\u2501" in watched
    assert "is verified" in watched
    logged = host.run("mlflowctl backup")
    assert "\x1b" not in logged.stdout + logged.stderr
    assert "is verified" in logged.stderr


@pytest.mark.parametrize("load", range(max(1, POINTS // PER_LOAD)))
def test_nothing_acknowledged_is_lost(server: Any, control: Any, tmp_path: Path, load: int) -> None:
    """A point taken while eight threads write contains every write acknowledged before it; no client sees an error."""
    journal, stop = tmp_path / "journal", tmp_path / "stop"
    clients = subprocess.Popen(
        [CLIENT_PYTHON, "-W", "ignore", HERE / "load.py", journal, stop, "8"],
        env=server.client_environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    taken = []
    try:
        while not journal.exists() or len(journal.read_text().splitlines()) < 100:
            assert clients.poll() is None
            time.sleep(0.5)
        for _ in range(min(POINTS, PER_LOAD)):
            time.sleep(random.uniform(0, 3))
            facts = control.run("backup")
            assert facts["references"] > 0
            taken.append((facts["point"], moment(control)))
        written = len(journal.read_text().splitlines())
    finally:
        stop.touch()
        clients.wait(300)
    assert [line for line in journal.read_text().splitlines() if "error" in line] == []

    for point, until in taken:
        restored = control.run(f"restore {point} --replace-live")
        assert restored["lost"] == 0
        looked = subprocess.run(
            [CLIENT_PYTHON, "-W", "ignore", HERE / "check_writes.py", journal, str(until)],
            env=server.client_environment, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        *missing, last = looked.stdout.splitlines()
        assert missing == [], looked.stderr
        assert 50 < json.loads(last)["looked"] <= written
        control.run(f"leftovers delete {restored['put_aside']}")


def moment(control: Any) -> float:
    """When the database's snapshot of the last point was taken, in seconds since 1970."""
    manifest = control.python(
        "from mlflowctl.core import config; print((config.load().instance.stage / 'manifest.json').read_text().replace(chr(10), ''))"
    )
    return datetime.fromisoformat(manifest["database_time"]).timestamp()


LOSES = """
import json, shutil
from pathlib import Path
from mlflowctl.core import config, lock
from mlflowctl.recovery import backup
from mlflowctl import stores
from mlflowctl.recovery.checker import compare
from mlflowctl.recovery.repository import INCOMPLETE, Restic
c = config.load()
store = Path(stores.artifacts.of(c).address)
repository, name = Restic(c.recovery.repository()), "{name}"
with lock.exclusive(c.instance.state_path, "negative control"):
    {order}
    report = backup.reconcile(c, repository, snapshot)
    repository.mark(name, INCOMPLETE)
print(json.dumps({{"lost": report.lost, "broken": report.broken_at_source}}))
"""
DELETED_DURING = """backup.stage(c, name, print)
    with stores.database.of(c).server.connect() as connection:
        (model, uri), = connection.execute("SELECT model_id, artifact_location FROM logged_models WHERE status = 2"
                                           " ORDER BY creation_timestamp_ms DESC LIMIT 1").fetchall()
    folder = store / uri.removeprefix("mlflow-artifacts:").lstrip("/")
    folder.rename(store.parent / "away")
    try:
        snapshot = repository.backup(name, [c.instance.stage, store])
    finally:
        (store.parent / "away").rename(folder)"""
FILES_FIRST = """snapshot = repository.backup(name, [c.instance.stage, store])
    with stores.database.of(c).server.connect() as connection:
        (model, uri), = connection.execute("SELECT model_id, artifact_location FROM logged_models WHERE status = 2"
                                           " ORDER BY creation_timestamp_ms DESC LIMIT 1").fetchall()
    folder = store / uri.removeprefix("mlflow-artifacts:").lstrip("/")
    later = folder.with_name("later")
    shutil.copytree(folder, later)
    with stores.database.of(c).server.connect() as connection:
        connection.execute("UPDATE logged_models SET artifact_location = %s WHERE model_id = %s",
                           (uri.rsplit("/", 1)[0] + "/later", model))
        backup.stage(c, name, print)
        connection.execute("UPDATE logged_models SET artifact_location = %s WHERE model_id = %s", (uri, model))
    shutil.rmtree(later)"""


@pytest.mark.parametrize(
    ("name", "order"),
    [("deleted", DELETED_DURING), ("order", FILES_FIRST)],
    ids=["no fence", "files before the database"],
)
def test_the_check_sees_what_the_protocol_prevents(
    control: Any, client: Any, model: str, name: str, order: str
) -> None:
    """Negative control: if files are deleted between snapshot and copy, or in the wrong order, losses are detected."""
    client(model)
    point = f"control-{name}-{time.time():.0f}"
    found = control.python(LOSES.format(name=point, order=order))
    assert len(found["lost"]) >= 1
    assert "logged_model" in found["lost"][0] or "model_version" in found["lost"][0]
    assert point in control.points("incomplete")


def test_odd_files_survive(control: Any, host: Any, server: Any) -> None:
    """Names with line breaks, emoji and 255 bytes, empty and sparse files, links and pipes are restored equal, at any depth."""
    store = server["mlflow_volume_path"] + "/store"
    make = f"""
import os
os.makedirs("{store}/odd", exist_ok=True); os.chdir("{store}/odd")
for name in ("line\\nbreak", "\U0001f40b", "x" * 255, "empty", " lead", "quote'$(x)"):
    open(name, "w").write("" if name == "empty" else name)
os.truncate(os.open("sparse", os.O_CREAT | os.O_WRONLY), 1 << 28)
os.symlink("/etc/passwd", "link"); os.link("empty", "hard"); os.mkfifo("pipe")
for _ in range(1500):
    os.mkdir("d"); os.chdir("d")
open("deep", "w").write("deep")
"""
    host.run_test("rm -rf %s/odd", store)
    host.run_expect([0], "python3 -c %s", make)
    digest = f"cd {store}/odd && find . -type f -print0 | sort -z | xargs -0 sha256sum; readlink link; test -p pipe && echo pipe"
    before = host.check_output(digest)
    point = control.run("backup")["point"]
    host.check_output("rm -rf %s/odd", store)
    aside = control.run(f"restore {point} --replace-live")["put_aside"]
    assert host.check_output(digest) == before
    assert host.file("/etc/passwd").user == "root"
    control.run("drill")
    if aside:
        control.run(f"leftovers delete {aside}")
    host.check_output("rm -rf %s/odd", store)
