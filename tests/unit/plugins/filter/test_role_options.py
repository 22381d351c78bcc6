"""What the roles declare, as the check of variables reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.filter.specs import role_options

ROOT = Path(__file__).parents[4]


def test_a_role_is_found_by_its_argument_spec(tmp_path: Path) -> None:
    """By its directory alone; what has no spec is no role."""
    meta = tmp_path / "mlflow_new" / "meta"
    meta.mkdir(parents=True)
    (tmp_path / "README.md").write_text("")
    (meta / "argument_specs.yml").write_text("argument_specs: {main: {options: {mlflow_new_x: {type: int}}}}")
    assert role_options(str(tmp_path)) == {"mlflow_new": {"mlflow_new_x": {"type": "int"}}}


def test_every_role_of_the_project_is_found() -> None:
    """With variables of its own."""
    found = role_options(str(ROOT / "roles"))
    assert set(found) == {role.name for role in (ROOT / "roles").iterdir()}
    assert all(found.values())


def test_a_wrong_directory_is_refused(tmp_path: Path) -> None:
    """Otherwise every name would be unknown."""
    with pytest.raises(ValueError, match="no role with an argument spec"):
        role_options(str(tmp_path))
