"""Do not expire the objects of a session that is about to be closed.

MLflow commits and closes a session of SQLAlchemy at the end of each request.
SQLAlchemy then expires every object in it, to be read again at the next access,
which never happens: a sixth of a search. So expiry is switched off right before
that last commit. Commits in the middle of a session work as before.

Source: SQLAlchemy, Session API, ``expire_on_commit``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from mlflow_host.core.known import SPEED, Patch

NAME = "_get_managed_session_maker"
PATCH = Patch(
    name="sessions",
    kind=SPEED,
    why="does not expire the objects of a session that is about to be closed",
    test="tests/unit/mlflow_host/patches/test_statements.py",
    replaces=("mlflow.store.db.utils:_get_managed_session_maker",),
    needs=("mlflow.store.model_registry.sqlalchemy_store:_get_managed_session_maker",),
    known={"3.17.2": "1f18307528cb24b6d85ed3e14c09887e0b66c99e9d14e2a2a30de75789e2f7af"},
    services=("rest", "asgi"),
)


def without_expiry(make: Callable[..., AbstractContextManager[Any]]) -> Callable[..., AbstractContextManager[Any]]:
    """Wrap a session maker: the objects are not expired by the last commit."""

    @contextmanager
    def managed(*given: Any, **named: Any) -> Iterator[Any]:
        with make(*given, **named) as session:
            yield session
            session.expire_on_commit = False

    return managed


def apply() -> None:
    """Replace the session makers of both of MLflow's stores."""
    from mlflow.store.db import utils
    from mlflow.store.model_registry import sqlalchemy_store as registry

    original = utils._get_managed_session_maker

    def make_maker(*given: Any, **named: Any) -> Callable[..., AbstractContextManager[Any]]:
        return without_expiry(original(*given, **named))

    for module in (utils, registry):
        setattr(module, NAME, make_maker)
