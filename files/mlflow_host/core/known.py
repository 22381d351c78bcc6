"""A patch of MLflow: what it replaces, and whether it fits the installed release.

Nothing here imports MLflow before a patch is checked.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SPEED, SAFETY = "speed", "safety"


class MisfitError(RuntimeError):
    """A patch does not fit the release."""


def resolve(target: str) -> Any:
    """The object that ``package.module:name.name`` names.

    Raises:
        MisfitError: it does not exist.
    """
    module, _, names = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise MisfitError(f"{target} does not exist") from error
    return found


@dataclass(frozen=True)
class Patch:
    """One patch.

    Attributes:
        name: of the module here.
        kind: ``speed``: the original does the same, more slowly; ``safety``: the original must not be used.
        why: a description.
        test: the file of the test that proves equal behaviour, or the closed hole.
        replaces: functions and classes that it replaces or relies on, as ``module:name``; their source is compared.
        needs: other objects that have to exist.
        known: SHA-256 of the source of all in ``replaces``, by release.
        services: which of our applications it belongs to.
    """

    name: str
    kind: str
    why: str
    test: str
    replaces: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ("rest",)

    def digest(self) -> str:
        """SHA-256 of the source of all that it replaces, in hexadecimal.

        Raises:
            MisfitError: something does not exist, or has no source.
        """
        texts = []
        for target in self.replaces:
            try:
                texts.append(inspect.getsource(resolve(target)))
            except (OSError, TypeError) as error:
                raise MisfitError(f"{target} has no source to compare") from error
        return hashlib.sha256("".join(texts).encode()).hexdigest()

    def check(self) -> None:
        """Check whether it fits the release.

        Raises:
            MisfitError: it does not; the message says what is missing or changed.
        """
        for target in self.needs:
            resolve(target)
        found = self.digest()
        if self.replaces and found not in self.known.values():
            raise MisfitError(f"the source of {', '.join(self.replaces)} has changed ({found[:12]})")
