"""Make the import of MLflow's own authentication fail at once: nginx authenticates users.

Each search for runs tries to import it, and works without it if that fails. It
always fails, because we do not install Flask-WTF. But Python does not cache failed
imports, so every search reads and runs half of the module again, which takes longer
than the search; and a concurrent search may get the half-loaded module and answer
with an error 500.

None in the module cache makes the import fail without searching for anything
(Python Language Reference, 5.3.1, "The module cache").
"""

from __future__ import annotations

import sys

from mlflow_host.core.known import SPEED, Patch

MODULE = "mlflow.server.auth"
PATCH = Patch(
    name="no_login",
    kind=SPEED,
    why="does not try to import MLflow's own authentication with each search",
    test="tests/host/test_searches.py",
    replaces=(
        "mlflow.server.handlers:search_runs_impl",
        "mlflow.server.handlers:_get_graphql_auth_middleware",
    ),
    known={"3.17.2": "da95c3d38d15b45fa131315a63a0695913aecdc45ade8dd1cf83da8d0c22077d"},
    services=("rest", "asgi"),
)


def apply() -> None:
    """Make every import of MLflow's authentication fail at once, as MLflow expects."""
    sys.modules[MODULE] = None  # type: ignore[assignment]
