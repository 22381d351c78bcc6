"""Images of converged hosts: when one may be used."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.harness import image

ROOT = image.ROOT


def test_an_image_is_named_by_what_converged_it(tmp_path: Path) -> None:
    """A changed role gives another name; compiled files and tests do not."""
    for path in (*image.CONVERGING, "tests/scenarios/default/molecule.yml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copyfile
        copy(ROOT / path, tmp_path / path)
    before = image.name("default", "trixie", tmp_path)
    assert before.startswith("mlflow-vm/converged-default-trixie:")
    (tmp_path / "plugins" / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "plugins" / "__pycache__" / "x.pyc").write_text("")
    assert image.name("default", "trixie", tmp_path) == before
    (tmp_path / "roles" / "mlflow" / "tasks" / "new.yml").write_text("---\n")
    assert image.name("default", "trixie", tmp_path) != before
