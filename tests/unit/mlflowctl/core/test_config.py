"""mlflowctl's configuration: a file and the parts that roles leave beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from mlflowctl import stores
from mlflowctl.core import config
from mlflowctl.core.errors import ControlError

ROLES = Path(__file__).parents[4] / "roles"
OWN = """
timers = ["mlflow-watch.timer"]

[instance]
unit = "mlflow"
user = "mlflow"
group = "mlflow-artifacts"
public_url = "https://a.example"
config_path = "/etc/mlflow"
root_path = "/opt/mlflow"
runtime_path = "/run/mlflow"
reports_path = "/run/mlflow-service"
state_path = "/var/lib/mlflow-backup"

[database]
kind = "postgresql"
name = "mlflow"
role = "mlflow"
socket_path = "/run/postgresql"
wal_archive = false

[artifacts]
kind = "local"
path = "/var/lib/mlflow/artifacts"
full_file = "/run/full"

[notify]
command = []
mail = ""
url = ""
"""
PART = """
timers = ["mlflow-backup.timer"]

[recovery]
fence_file = "/run/fence"
closed_file = "/run/closed"
files = []
snapshot = "none"
stale_hours = 26
gc_older_than = "90d"
keep = {last = 3}
repositories = [{name = "local", location = "/var/backups/mlflow", password_file = "/x"}]
"""


def written(folder: Path, **parts: str) -> Path:
    """The file, with these parts beside it."""
    (folder / "mlflowctl.d").mkdir()
    for name, text in parts.items():
        (folder / "mlflowctl.d" / f"{name}.toml").write_text(text)
    path = folder / "mlflowctl.toml"
    path.write_text(OWN)
    return path


def test_parts_add_up(tmp_path: Path) -> None:
    """Each role's timers are known, including those of an unknown role."""
    found = config.load(written(tmp_path, backup=PART, other='timers = ["mlflow-other.timer"]'))
    assert found.timers == ["mlflow-watch.timer", "mlflow-backup.timer", "mlflow-other.timer"]
    assert found.recovery.repository().location == "/var/backups/mlflow"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "missing"),
        ({"backup": PART, "other": '[instance]\nunit = "other"'}, "instance is set elsewhere, too"),
        ({"backup": PART + "["}, "backup.toml is damaged"),
        ({"backup": PART + "nonsense = 1"}, "unknown ['nonsense']"),
    ],
    ids=["none", "twice", "damaged", "unknown"],
)
def test_wrong_parts_are_refused(tmp_path: Path, parts: dict[str, str], words: str) -> None:
    """In a sentence that says which file, and what to do."""
    with pytest.raises(ControlError) as caught:
        config.load(written(tmp_path, **parts))
    assert words in str(caught.value)
    assert "run the playbook again" in str(caught.value)


def rendered(role: str, template: str, **variables: Any) -> str:
    """A role's template with its defaults."""
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    filters = {"to_json": json.dumps, "comment": "# {}".format}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)  # noqa: S701
    environment.filters |= filters
    text = (ROLES / role / "templates/mlflowctl" / template).read_text()
    return environment.from_string(text).render(**defaults | {"ansible_managed": "managed"} | variables)


def test_what_the_roles_write_can_be_read(tmp_path: Path) -> None:
    """Each setting of a template is one of the configuration, and none is missing."""
    instance = yaml.safe_load((ROLES / "mlflow_control/defaults/main.yml").read_text())["mlflow_control_instance"]
    own = rendered(
        "mlflow_control",
        "mlflowctl.toml.j2",
        mlflow_control_instance=instance | {"public_url": "https://a.example"},
        __mlflow_control_timers=["mlflow-watch.timer"],
    )
    repositories = [
        {"name": "local", "location": "/var/backups/mlflow"},
        {"name": "offsite", "location": "s3:https://x/y", "append_only": True, "environment": {"A": "b"}},
    ]
    backup = rendered(
        "mlflow_backup",
        "backup.toml.j2",
        mlflow_backup_instance=instance,
        mlflow_backup_files=["/etc/mlflow"],
        mlflow_backup_repositories=repositories,
        __mlflow_backup_timers=["mlflow-backup.timer"],
        __mlflow_backup_secrets_path="/etc/mlflow/secrets",
    )
    path = written(tmp_path, backup=backup)
    path.write_text(own)
    found = config.load(path)
    assert found.timers == ["mlflow-watch.timer", "mlflow-backup.timer"]
    assert found.instance.config_path == Path("/etc/mlflow")
    assert stores.database.of(found).name == "mlflow"
    assert stores.artifacts.of(found).where == "/var/lib/mlflow/artifacts"
    assert [(one.append_only, one.environment_file) for one in found.recovery.repositories] == [
        (False, ""),
        (True, "/etc/mlflow/secrets/repository_offsite.env"),
    ]


def test_missing_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence: every user of the host may start mlflowctl."""
    path = written(tmp_path, backup=PART)

    def refuse(_folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ControlError, match=r"Permission denied\. Run as root"):
        config.load(path)
