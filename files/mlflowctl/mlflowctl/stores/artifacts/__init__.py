"""The artifact store. A further kind is one line in :data:`KINDS`, and nothing else learns its name."""

from __future__ import annotations

from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.stores.artifacts.base import ArtifactStore
from mlflowctl.stores.artifacts.local.store import LocalVolume

# As `kind` of the configuration's table `artifacts` names them.
KINDS: dict[str, type[ArtifactStore]] = {"local": LocalVolume}


def of(config: Config) -> ArtifactStore:
    """The store of the configuration.

    Raises:
        ControlError: there is no such kind, or a setting is missing or unknown.
    """
    kind = config.artifacts.kind
    if kind not in KINDS:
        raise ControlError(
            f"{kind!r} is no kind of artifact store, use one of {', '.join(KINDS)}: run the playbook again"
        )
    return KINDS[kind].of(config)
