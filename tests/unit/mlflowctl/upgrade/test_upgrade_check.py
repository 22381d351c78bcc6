"""The parts of an upgrade check that need no database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflowctl import stores
from mlflowctl.core import config
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.stores.database.postgresql.server import Server
from mlflowctl.upgrade import check

from tests.unit.helpers import configured


@pytest.fixture
def instance(tmp_path: Path) -> config.Config:
    """With two installations of one release, and an incomplete one."""
    for age, name in enumerate(("3.17.2-new", "3.17.2-old", "3.16.1-other")):
        path = tmp_path / "releases" / name / "release.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"version": name.split("-")[0], "schema_head": name}))
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "releases" / "3.18.0-partial").mkdir()
    return configured(tmp_path)


def test_the_newest_installation_of_a_release_is_tried(instance: config.Config) -> None:
    """A missing or incomplete one is refused with a list of the others."""
    assert check.find(instance.instance, "3.17.2").head == "3.17.2-new"
    with pytest.raises(
        Refused, match=r"3\.18\.0 is not installed on this host, which has 3\.16\.1, 3\.17\.2: run playbooks"
    ):
        check.find(instance.instance, "3.18.0")


def test_a_disk_without_free_space_is_refused(
    instance: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is copied, and the message says how much is needed."""

    class Connection:
        """Returns the database's directory, and a size of 2 EiB."""

        def execute(self, *_: Any) -> Any:
            """The only statement."""
            return self

        def fetchall(self) -> list[tuple[str, int]]:
            """Its only row."""
            return [(str(tmp_path), 1 << 61)]

    @contextmanager
    def connect(*_: Any) -> Iterator[Connection]:
        yield Connection()

    monkeypatch.setattr(Server, "connect", connect)
    with pytest.raises(ControlError, match=f"{tmp_path} has .* free .* may need 4398046512128 MiB"):
        check.refuse_without_space(stores.database.of(instance))


def test_only_the_database_of_a_service_file_changes(instance: config.Config, tmp_path: Path) -> None:
    """Host and user are those of the live one."""
    (tmp_path / "pg_service.conf").write_text("[mlflow]\nhost=/run\ndbname=mlflow\nuser=mlflow\n")
    (tmp_path / "there").mkdir()
    found = stores.database.of(instance).environment("copy", tmp_path / "there")
    assert Path(found["PGSERVICEFILE"]).read_text() == "[mlflow]\nhost=/run\ndbname=copy\nuser=mlflow\n"
