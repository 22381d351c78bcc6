"""The machine of a measurement."""

from __future__ import annotations

import os
import re
from pathlib import Path


def machine() -> dict[str, object]:
    """Processor, cores and memory (GiB), from proc(5)."""
    model = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())[0]
    kib = int(re.findall(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())[0])
    return {"processor": model.strip(), "cores": os.cpu_count(), "memory_gib": round(kib / 1024 / 1024)}
