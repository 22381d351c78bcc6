"""Paths of the project for the tests that need no container."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
for folder in ("plugins/filter", "files", "files/mlflowctl", "scripts", "."):
    sys.path.insert(0, str(ROOT / folder))
