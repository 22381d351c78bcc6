"""The host is lost: with the inventory, the repository and its password, a bare one replaces it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.harness.control import control
from tests.harness.playbook import ROOT, ask, run_playbook

CLIENT_PYTHON = ROOT / ".venv-client" / "bin" / "python"
# Run by a real client: loads the model that examples/train.py registered.
READ_BACK = """
import mlflow
from mlflow import MlflowClient
client = MlflowClient()
versions = client.search_model_versions("name = 'wine-classifier'")
model = mlflow.pyfunc.load_model(f"models:/wine-classifier/{versions[0].version}")
runs = mlflow.search_runs(search_all_experiments=True)
print(len(versions), len(runs), type(model).__name__)
"""


def docker(*arguments: str) -> str:
    """Run the engine's client."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def client(host: Any, *arguments: str) -> str:
    """Run a real client; returns its last line."""
    variables = host.ansible.get_variables()
    inventory = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/root"),
        "MLFLOW_TRACKING_URI": variables["mlflow_public_url"],
        "MLFLOW_TRACKING_USERNAME": "ada",
        "MLFLOW_TRACKING_PASSWORD": "correct-horse-battery",
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(inventory / "client" / f"{variables['inventory_hostname']}-ca.crt"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run(
        [CLIENT_PYTHON, "-W", "ignore", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def new_host(name: str, taken: str) -> None:
    """Remove the container and start another one of the same name, in which another user has the UID ``taken``."""
    container = json.loads(docker("inspect", name))[0]
    suite = container["Config"]["Image"].split("debian-")[1].split(":")[0]
    ports = [
        f"{there['HostIp']}:{there['HostPort']}:{here.split('/')[0]}"
        for here, bindings in container["HostConfig"]["PortBindings"].items()
        for there in bindings
    ]
    devices = [":".join(device.values()) for device in container["HostConfig"]["Devices"]]
    hosts = json.dumps({"test_hosts": [{"name": name, "suite": suite, "ports": ports, "devices": devices}]})
    for playbook in ("stop.yml", "start.yml"):
        if playbook == "start.yml":
            # The volume is lost with the host.
            subprocess.run(["wipefs", "--quiet", "--all", "--force", devices[0].split(":")[0]], check=True)
        command = ["ansible-playbook", "-i", "localhost,", str(ROOT / "tests" / "harness" / playbook), "-e", hosts]
        environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    docker("exec", name, "useradd", "--system", "--uid", taken, "--user-group", "other")


def test_a_bare_host_replaces_a_lost_one(host: Any, tmp_path: Path) -> None:
    """After training, backup and loss of the host, a bare host is provisioned and restored, and clients see no difference."""
    name = host.ansible.get_variables()["inventory_hostname"]
    client(host, str(ROOT / "examples" / "train.py"))
    before = client(host, "-c", READ_BACK)
    authority = ask(host, "ada", "correct-horse-battery")
    assert authority.ok
    ca = (Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent / "client" / f"{name}-ca.crt").read_text()
    user = host.check_output("id -u mlflow")
    token = control(host, "token create ci --owner ada")["token"]
    login = base64.b64decode(token).decode().split(":")
    host.check_output("mlflowctl backup")
    docker("cp", f"{name}:/var/backups/mlflow", str(tmp_path / "repository"))

    new_host(name, user)
    docker("cp", str(tmp_path / "repository"), f"{name}:/var/backups/mlflow")
    docker("exec", name, "chown", "-R", "root:root", "/var/backups/mlflow")
    done = run_playbook(playbook="playbooks/restore.yml")
    assert done.returncode == 0, done.stdout[-4000:]
    message = json.loads(docker("exec", name, "cat", "/var/lib/mlflow-backup/state.json"))["restore"]["success"]
    print(f"RTO {message['rto_seconds']} s")
    assert message["lost"] == 0

    assert docker("exec", name, "id", "-u", "mlflow").strip() != user
    assert client(host, "-c", READ_BACK) == before
    assert ask(host, *login).ok
    # Clients need no new CA: the old host's certificates are restored.
    assert (Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent / "client" / f"{name}-ca.crt").read_text() == ca
    assert client(host, str(ROOT / "examples" / "train.py")).startswith("https://")
    assert json.loads(docker("exec", name, "mlflowctl", "verify", "--json"))["lost"] == []
    again = run_playbook()
    assert again.returncode == 0
    assert "changed=0" in again.stdout
