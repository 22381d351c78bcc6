"""mlflowctl's configuration: a file and the parts that roles leave beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflowctl.core import config
from mlflowctl.core.errors import ControlError

OWN = """
unit = "mlflow"
user = "mlflow"
public_url = "https://a.example"
config_path = "/etc/mlflow"
root_path = "/opt/mlflow"
runtime_path = "/run/mlflow"
state_path = "/var/lib/mlflow-backup"
timers = ["mlflow-watch.timer"]
volume_path = "/var/lib/mlflow/artifacts"
group = "mlflow-artifacts"
full_file = "/run/full"
database = "mlflow"
database_role = "mlflow"
database_socket_path = "/run/postgresql"
wal_archive = false

[notify]
command = []
"""
PART = """
fence_file = "/run/fence"
closed_file = "/run/closed"
files = []
timers = ["mlflow-backup.timer"]
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
    """Each role's timers are known, those of a role that mlflowctl has never heard of, too."""
    found = config.load(written(tmp_path, backup=PART, other='timers = ["mlflow-other.timer"]'))
    assert found.timers == ["mlflow-watch.timer", "mlflow-backup.timer", "mlflow-other.timer"]
    assert found.repository().location == "/var/backups/mlflow"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "missing"),
        ({"backup": PART, "other": 'unit = "other"'}, "unit is set elsewhere, too"),
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


def test_whoever_may_not_look_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence: anybody on the host may start mlflowctl."""
    path = written(tmp_path, backup=PART)

    def refuse(_folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ControlError, match=r"Permission denied\. Run as root"):
        config.load(path)
