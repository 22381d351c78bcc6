"""A restore brings everything back, does no harm to live data, and is proven by drills."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness.ready import wait_until_ready
from tests.harness.uploads import half_an_upload

ROOT = Path(__file__).parents[4]
DATABASES = "runuser -u postgres -- psql -qAtc 'SELECT datname FROM pg_database ORDER BY 1'"


@pytest.fixture(scope="module")
def point(control: Any) -> str:
    """A verified point with a registered model in it."""
    return str(control.run("backup")["point"])


def counts(http: Any, server: Any) -> dict[str, int]:
    """How many runs and models a client sees."""
    experiments = http.post(server.url + "/api/2.0/mlflow/experiments/search", json={"max_results": 1000}).json()[
        "experiments"
    ]
    found = {"experiments": len(experiments)}
    for what, path in (("registered_models", "registered-models"),):
        found[what] = len(http.get(f"{server.url}/api/2.0/mlflow/{path}/search").json().get(what, []))
    return found


def test_a_drill_proves_the_point_and_leaves_nothing(control: Any, host: Any, server: Any, client: Any) -> None:
    """The drill serves the copy, reads a registered model from it, and removes it; the live server is not touched."""
    client(str(ROOT / "examples" / "train.py"))
    control.run("backup")
    before = (
        host.check_output(DATABASES),
        host.check_output("ls -A %s", server["mlflow_volume_path"]),
        host.check_output("systemctl show -p MainPID mlflow.service"),
    )
    facts = control.run("drill")
    assert facts["lost"] == 0
    assert facts["references"] >= 2
    assert facts["model"].startswith("wine-classifier/")
    assert facts["rto_seconds"] > 0
    after = (
        host.check_output(DATABASES),
        host.check_output("ls -A %s", server["mlflow_volume_path"]),
        host.check_output("systemctl show -p MainPID mlflow.service"),
    )
    assert after == before
    metrics = host.file("/var/lib/mlflow-backup/metrics/mlflow.prom").content_string
    assert "mlflow_drill_lost 0.0" in metrics
    assert "mlflow_backup_last_success_timestamp_seconds" in metrics


def test_a_live_host_is_not_overwritten_by_accident(control: Any, point: str, http: Any, server: Any) -> None:
    """Without the flag a host with live data is refused, with a message that counts them."""
    before = counts(http, server)
    assert "--replace-live" in control.run(f"restore {point}", expect=2)["error"]
    assert counts(http, server) == before


def test_what_was_deleted_comes_back(control: Any, host: Any, point: str, http: Any, server: Any) -> None:
    """Restored over a live server: deleted data are back, later data are set aside and kept until they are discarded."""
    before = counts(http, server)
    host.check_output("runuser -u postgres -- psql -q mlflow -c 'DELETE FROM model_versions'")
    host.check_output("find %s/store -name MLmodel -delete", server["mlflow_volume_path"])
    http.post(
        server.url + "/api/2.0/mlflow/experiments/create", json={"name": f"later-{time.time()}"}
    ).raise_for_status()
    assert control.run("verify", expect=1)["broken_at_source"]

    late = "/api/2.0/mlflow-artifacts/artifacts/late.txt"
    with half_an_upload(server, http, server.url + late) as upload:
        facts = control.run(f"restore {point} --replace-live")
        upload.sendall(b"x" * 5_000_000)
        # Started before the restore, it must not complete after it.
        assert upload.recv(1000).startswith(b"HTTP/1.1 500 ")
    assert http.get(server.url + late).status_code == 404
    assert facts["lost"] == 0
    assert counts(http, server) == before
    assert control.run("verify")["lost"] == []
    aside = facts["put_aside"]
    assert f"mlflow_before_{aside}" in host.check_output(DATABASES)
    (kept,) = [entry for entry in control.run("leftovers list") if entry["suffix"] == aside]
    assert (kept["kind"], kept["holds"]) == ("restore", "database, artifacts, keys")
    assert kept["bytes"] > 1 << 20, "a database alone has more"
    assert kept["age"].endswith(("s", "m"))
    control.run(f"leftovers delete {aside}")
    assert "mlflow_before" not in host.check_output(DATABASES)
    # The restored files belong to the service: a client writes and reads.
    path = "/api/2.0/mlflow-artifacts/artifacts/after-restore.txt"
    assert http.put(server.url + path, data=b"works").ok
    assert http.get(server.url + path).content == b"works"


# Steps of a restore; it is killed where each begins. All of them in `make soak`.
# A module of mlflowctl, or os, and its function.
STEPS = ["core.service:stop", "stores.database.postgresql.store:PostgreSQL.rename", "os:chmod", "core.service:start"]
if os.environ.get("KILL_EVERY"):
    STEPS += [
        "stores.artifacts.local.tree:LocalTree.own",
        "stores.artifacts.local.store:LocalVolume.move",
        "core.service:wait_ready",
    ]
# And at random moments.
MOMENTS = [random.uniform(0.1, 8) for _ in range(20)] if os.environ.get("KILL_EVERY") else [1.5]


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_restore_harms_nothing(control: Any, point: str, http: Any, server: Any, step: str) -> None:
    """kill -9 at every step: MLflow serves the old data or, after the swap, the new ones; never none, never a mixture."""
    host, before = control.host, counts(http, server)
    # The unit itself, with one function that kills it. Environment for Python: no file of the project changes.
    module, _, name = step.partition(":")
    target = f"mlflowctl.{module}" if module != "os" else "os"
    site = (
        f"import os, signal, sys\n"
        f"if 'restore' in sys.argv and 'in-unit' in sys.argv or os.environ.get('MLFLOWCTL_UNIT') == 'mlflow-restore.service':\n"
        f"    if 'recover' not in sys.argv:\n"
        f"        import mlflowctl.recovery.swap, mlflowctl.recovery.restored, {target}\n"
        f"        armed = lambda *a, **k: os.kill(0, signal.SIGKILL)\n"
        f"        if '{module}' == 'os':\n"
        f"            class Os:\n"
        f"                def __getattr__(self, n): return armed if n == '{name}' else getattr(os, n)\n"
        f"            mlflowctl.recovery.swap.os = Os()\n"
        f"        else:\n"
        f"            {target}.{name} = armed\n"
    )
    host.check_output("mkdir -p /run/kill && printf %s > /run/kill/sitecustomize.py", site)
    wrapper = "/usr/local/bin/mlflowctl"
    host.check_output(
        "cp -p %s /run/mlflowctl.saved && sed -i 's|^export PYTHONPATH=|&/run/kill:|' %s", wrapper, wrapper
    )
    try:
        host.check_output('echo \'["%s", "--replace-live"]\' > /var/lib/mlflow-backup/restore.arguments', point)
        assert host.run("systemctl start mlflow-restore.service").rc != 0
    finally:
        host.check_output("cp -p /run/mlflowctl.saved %s", wrapper)
    killed = host.check_output("systemctl show -p Result,ExecMainStatus mlflow-restore.service")
    assert "ExecMainStatus=9" in killed, killed
    assert not host.file("/run/mlflow-restore/closed").exists
    assert not host.file("/var/lib/mlflow-backup/swap.json").exists
    wait_until_ready(http, server)
    assert counts(http, server) == before
    assert control.run("verify")["lost"] == []


@pytest.mark.parametrize("seconds", MOMENTS)
def test_a_restore_that_is_killed_at_any_moment_harms_nothing(
    control: Any, point: str, http: Any, server: Any, seconds: float
) -> None:
    """kill -9 of the whole unit after a number of seconds: served as before, the fence removed, nothing incomplete."""
    host, before = control.host, counts(http, server)
    host.check_output('echo \'["%s", "--replace-live"]\' > /var/lib/mlflow-backup/restore.arguments', point)
    host.check_output("systemctl start --no-block mlflow-restore.service")
    time.sleep(seconds)
    host.run_test("systemctl kill --signal=KILL --kill-whom=all mlflow-restore.service")
    state = "systemctl show --property=ActiveState --value mlflow-restore.service"
    host.check_output(f"timeout 60 sh -c 'while {state} | grep --quiet ating; do sleep 0.1; done'")
    assert not host.file("/run/mlflow-restore/closed").exists
    assert not host.file("/var/lib/mlflow-backup/swap.json").exists
    wait_until_ready(http, server)
    assert counts(http, server) == before
    assert control.run("verify")["lost"] == []


def test_after_the_kills_it_works(control: Any, point: str, server: Any) -> None:
    """The next restore needs no intervention, removes the copies that the kills left, and lists what it set aside."""
    assert control.run(f"restore {point} --replace-live")["lost"] == 0
    assert control.host.check_output("find %s -maxdepth 1 -name 'restore-*'", server["mlflow_volume_path"]) == ""
    for entry in control.run("leftovers list"):
        control.run(f"leftovers delete {entry['suffix']}")


def test_a_damaged_repository_is_found(control: Any, host: Any) -> None:
    """One flipped byte in a pack file: the full check names the repository; repaired, it passes."""
    pack = host.check_output("find /var/backups/mlflow/data -type f -size +2k | sort | head -n 1")
    flip = (
        f"import sys; f = open('{pack}', 'r+b'); f.seek(700); b = f.read(1); f.seek(700); f.write(bytes([b[0] ^ 255]))"
    )
    host.check_output("chmod u+w %s", pack)
    host.run_expect([0], "python3 -c %s", flip)
    try:
        assert "repository local" in control.run("check --full", expect=1)["error"]
    finally:
        host.run_expect([0], "python3 -c %s", flip)
    control.run("check --full")


@pytest.mark.parametrize("part", ["data", "index"])
def test_what_is_missing_in_a_repository_is_found(control: Any, host: Any, part: str) -> None:
    """A missing pack or index: the daily check names the repository; with the file it passes."""
    # The newest one belongs to this point. Others may be from a killed backup and unused.
    control.run("backup")
    gone = host.check_output(
        "find /var/backups/mlflow/%s -type f -printf '%%T@ %%p\\n' | sort -n | tail -n 1 | cut -d ' ' -f 2", part
    )
    host.check_output("mv %s /root/gone", gone)
    try:
        assert "repository local" in control.run("check", expect=1)["error"]
    finally:
        host.check_output("mv /root/gone %s", gone)
    control.run("check")


def test_wrong_keys_are_found_by_the_drill(control: Any, host: Any, http: Any, server: Any) -> None:
    """A point whose passphrase does not decrypt the secrets of its database fails the drill, with that reason."""
    body = {"secret_name": f"key-{time.time()}", "secret_value": {"api_key": "sk-test"}, "provider": "openai"}
    http.post(server.url + "/api/3.0/mlflow/gateway/secrets/create", json=body).raise_for_status()
    secret = "/etc/mlflow/secrets/kek_passphrase"
    host.check_output("cp -p %s /root/kek && printf 'another-passphrase-of-forty-characters-xx' > %s", secret, secret)
    try:
        point = control.run("backup")["point"]
    finally:
        host.check_output("cp -p /root/kek %s && rm /root/kek", secret)
    assert "cannot be decrypted" in control.run(f"drill {point}", expect=1)["error"]
    control.run("backup")
    assert control.run("drill")["lost"] == 0


def test_deletions_wait_and_nothing_else(host: Any, http: Any, server: Any) -> None:
    """With the fence deletions get 429 with Retry-After, uploads work; without it everything works."""
    path = server.url + "/api/2.0/mlflow-artifacts/artifacts/fenced.txt"
    assert http.put(path, data=b"1").ok
    host.check_output("install -d /run/mlflow-backup && touch /run/mlflow-backup/fence-deletes")
    try:
        for url in (path, path.replace("/api/", "/ajax-api/")):
            answer = http.delete(url)
            assert answer.status_code == 429
            assert int(answer.headers["Retry-After"]) > 0
        for version in ("2.0", "3.0"):
            url = f"{server.url}/api/{version}/mlflow/traces/delete-traces"
            assert http.post(url, json={"experiment_id": "0", "request_ids": ["x"]}).status_code == 429
        assert http.put(path, data=b"2").ok
        assert http.get(path).content == b"2"
    finally:
        host.check_output("rm -r /run/mlflow-backup")
    assert http.delete(path).ok


def test_the_fence_covers_every_route_that_removes_files() -> None:
    """The installed release removes files only in routes that the fence covers."""
    import subprocess

    package = next((ROOT / ".venv-client" / "lib").glob("python3*/site-packages/mlflow"))
    callers = subprocess.run(
        ["grep", "-rnE", r"\.delete_artifacts\(", "--include=*.py", package / "server", package / "store/tracking", package / "tracing"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    places = sorted({line.split(":")[0].rsplit("/mlflow/", 1)[1] for line in callers})
    # DELETE mlflow-artifacts; delete-traces; and the clean-up of an archive that failed, which removes no reference.
    assert places == ["server/handlers.py", "store/tracking/sqlalchemy_store.py"]
    assert len(callers) == 3, callers


def test_while_closed_everything_waits(host: Any, http: Any, server: Any) -> None:
    """While a restored copy is swapped in, every request gets 429 with Retry-After, and none fails."""
    host.check_output("install -d /run/mlflow-restore && touch /run/mlflow-restore/closed")
    try:
        answer = http.get(server.url + "/version")
        assert answer.status_code == 429
        assert answer.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        assert urlsplit(server.url).hostname
    finally:
        host.check_output("rm -r /run/mlflow-restore")
    assert http.get(server.url + "/version").ok


def test_no_secret_is_shown(control: Any, host: Any) -> None:
    """Neither the repository's password nor a key is in journals, arguments, units or state."""
    secrets = host.check_output("cat /etc/mlflow/secrets/*").split()
    for word in secrets:
        if len(word) < 16:
            continue
        found = host.run("journalctl --no-pager --unit 'mlflow-*' | grep -Fc -- %s; true", word)
        assert found.stdout.strip() in ("0", ""), "in a journal"
        found = host.run(
            "grep -rFl -- %s /etc/systemd /var/lib/mlflow-backup/state.json /etc/mlflow/mlflowctl.toml /etc/mlflow/mlflowctl.d",
            word,
        )
        assert found.stdout == ""
    assert host.file("/etc/mlflow/secrets/repository_local").mode == 0o600
    assert host.file("/var/backups/mlflow").mode == 0o700
    assert control.run("status")["problems"] == []
