"""Where MLflow keeps its rows and its artifacts: ``stores.database.of(config)``, ``stores.artifacts.of(config)``."""

from mlflowctl.stores import artifacts, database

__all__ = ["artifacts", "database"]
