"""Say at once that MLflow's own login is not there: nginx asks who somebody is.

Each search for runs tries to import that login, and does without it if it
cannot be imported. It never can: we do not install Flask-WTF. But Python forgets
imports that failed, so every search reads and runs half of the module again,
which takes longer than the search; and a second search at the same moment may
meet the half-loaded module and end with an error 500.

None in the module cache makes the import fail without looking for anything
(Python Language Reference, 5.3.1, "The module cache").
"""

from __future__ import annotations

import sys

from mlflow_host.core.known import SPEED, Patch

MODULE = "mlflow.server.auth"
PATCH = Patch(
    name="no_login",
    kind=SPEED,
    why="does not look for MLflow's own login with each search",
    test="tests/host/test_searches.py",
    replaces=(
        "mlflow.server.handlers:search_runs_impl",
        "mlflow.server.handlers:_get_graphql_auth_middleware",
    ),
    known={"3.17.2": "da95c3d38d15b45fa131315a63a0695913aecdc45ade8dd1cf83da8d0c22077d"},
    services=("rest", "asgi"),
)


def apply() -> None:
    """Let every import of MLflow's login fail at once, as MLflow expects it to."""
    sys.modules[MODULE] = None  # type: ignore[assignment]
