"""Modules that tests cache between plays."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.plugins.callback.warm import compiled


def test_a_kept_module_is_its_source_compiled(tmp_path: Path) -> None:
    """Python loads the compiled file, which is equal; the source is for another version of Python."""
    packing = io.BytesIO()
    with zipfile.ZipFile(packing, "w") as made:
        made.writestr("pack/__init__.py", "")
        made.writestr("pack/one.py", "print('from', __file__.rsplit('/', 1)[1])")
    file = tmp_path / "module.zip"
    file.write_bytes(base64.b64decode(compiled(base64.b64encode(packing.getvalue()))))
    with zipfile.ZipFile(file) as made:
        assert sorted(made.namelist()) == ["pack/__init__.py", "pack/__init__.pyc", "pack/one.py", "pack/one.pyc"]
    code = f"import sys; sys.path.insert(0, {str(file)!r}); import pack.one"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "from one.pyc\n"
