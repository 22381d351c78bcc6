"""A patch of MLflow: what it replaces, and whether this release is one that it was written for.

Nothing here imports MLflow until it is asked.
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
    """The release is not what a patch was written for."""


def resolve(target: str) -> Any:
    """What ``package.module:name.name`` names.

    Raises:
        MisfitError: it is gone.
    """
    module, _, names = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise MisfitError(f"{target} is gone") from error
    return found


@dataclass(frozen=True)
class Patch:
    """One patch.

    Attributes:
        name: of the module here.
        kind: ``speed``: the original does the same, more slowly; ``safety``: the original must not serve.
        why: for a person.
        test: the file of the test that holds it equal, or proves what it closes.
        replaces: functions and classes that it replaces or relies on, as ``module:name``; their text counts.
        needs: what else has to be there.
        known: SHA-256 of the text of all in ``replaces``, by release.
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
        """SHA-256 of the text of all that it replaces, in hexadecimal.

        Raises:
            MisfitError: something is gone, or has no text.
        """
        texts = []
        for target in self.replaces:
            try:
                texts.append(inspect.getsource(resolve(target)))
            except (OSError, TypeError) as error:
                raise MisfitError(f"{target} has no text to compare") from error
        return hashlib.sha256("".join(texts).encode()).hexdigest()

    def check(self) -> None:
        """Look whether it fits the release.

        Raises:
            MisfitError: it does not; says what is gone or changed.
        """
        for target in self.needs:
            resolve(target)
        found = self.digest()
        if self.replaces and found not in self.known.values():
            raise MisfitError(f"the text of {', '.join(self.replaces)} is another one ({found[:12]})")
