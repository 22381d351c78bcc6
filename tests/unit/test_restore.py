"""Orders and the copy that a restore makes."""

from __future__ import annotations

import re
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflowctl import (
    config,
    database,
    frozen,
    restore,
    restored,
)
from mlflowctl.errors import ControlError
from mlflowctl.repository import VERIFIED, Point

from tests.unit.helpers import settings


@pytest.mark.parametrize("path", ["/plain/path", "/with [brackets]/x", "/star*/q?", "/back\\slash"])
def test_a_path_is_no_pattern(path: str) -> None:
    """restic's patterns are Go's, which escape as fnmatch's brackets do not: so compare what Go would match."""
    escaped = restored.literal(path)
    assert re.sub(r"\\(.)", r"\1", escaped) == path
    assert not re.search(r"(?<!\\)[*?\[]", escaped)


def test_options_that_exclude_each_other_are_refused() -> None:
    """One part at a time; the order travels to the unit as it was given."""
    order = restore.Order("latest", replace_live=True, model="wine/1")
    assert order.arguments() == ["latest", "--replace-live", "--model", "wine/1"]
    with pytest.raises(ControlError, match="--run and --model"):
        restore.Order("latest", run="a", model="b")


@pytest.mark.parametrize(
    ("code", "said", "fine"),
    [
        (0, "", True),
        (1, "cp: cannot stat '/v/store/1/.artifact.uploading.x': No such file or directory", True),
        (1, "cp: cannot stat '/v/store/1/model.pkl': No such file or directory", False),
        (1, "cp: failed to clone '/v/.point/store/a' from '/v/store/a': Operation not supported", False),
        (1, "", False),
    ],
)
def test_only_an_upload_may_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str, fine: bool
) -> None:
    """While the store is cloned, uploads are completed; anything else that cannot be cloned is an error."""
    instance = config.parse(settings(tmp_path) | {"snapshot": "reflink"}, "x")
    monkeypatch.setattr(frozen, "run", lambda *_, **__: subprocess.CompletedProcess([], code, "", said))
    with nullcontext() if fine else pytest.raises(ControlError, match="Set it to none"), frozen.frozen(instance):
        pass
    assert not frozen.place(instance).exists()


@pytest.mark.parametrize("pending", [False, True])
def test_a_swap_that_is_still_to_be_undone_keeps_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pending: bool
) -> None:
    """If putting back failed too, `recover` needs the directory and the database that it puts the copy back to."""
    instance = replace(config.parse(settings(tmp_path), "x"), state_path=tmp_path)
    root, dropped = tmp_path / "restore-x", []
    root.mkdir()
    if pending:
        (tmp_path / "swap.json").touch()
    monkeypatch.setattr(database, "drop", lambda _, name: dropped.append(name))
    point = Point("x", "s", datetime.now(UTC), VERIFIED, ())
    restore._clean(instance, restored.Place(point, root, "mlflow_restore"))
    assert root.exists() == pending
    assert dropped == ([] if pending else ["mlflow_restore"])
