"""The backend store. A further kind is one line in :data:`KINDS`, and nothing else learns its name."""

from __future__ import annotations

from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.stores.database.base import Database
from mlflowctl.stores.database.postgresql.store import PostgreSQL

# As `kind` of the configuration's table `database` names them.
KINDS: dict[str, type[Database]] = {"postgresql": PostgreSQL}


def of(config: Config) -> Database:
    """The store of the configuration.

    Raises:
        ControlError: there is no such kind, or a setting is missing or unknown.
    """
    kind = config.database.kind
    if kind not in KINDS:
        raise ControlError(f"{kind!r} is no kind of database, use one of {', '.join(KINDS)}: run the playbook again")
    return KINDS[kind].of(config)
