"""Where MLflow keeps its rows and its artifacts: ``stores.database.of(config)``."""

from mlflowctl.stores import database

__all__ = ["database"]
