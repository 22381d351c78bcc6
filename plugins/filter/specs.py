"""The variables that the roles declare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


def role_options(directory: str) -> dict[str, dict[str, Any]]:
    """Options of the argument spec ``main`` of each role.

    Args:
        directory: of the roles, on the controller.

    Raises:
        ValueError: there is no role with an argument spec.
    """
    specs = sorted(Path(directory).glob("*/meta/argument_specs.yml"))
    if not specs:
        raise ValueError(f"{directory} holds no role with an argument spec")
    return {
        spec.parents[1].name: yaml.safe_load(spec.read_text())["argument_specs"]["main"]["options"] for spec in specs
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., dict[str, dict[str, Any]]]]:
        """The filters of this file by name."""
        return {"role_options": role_options}
