"""Do not mark as outdated what is about to be thrown away.

MLflow commits and closes a session of SQLAlchemy's at the end of each request.
SQLAlchemy then marks every object of it as outdated, to be read again when it is
next looked at, which nobody does any more: a sixth of a search. So it is told,
right before that last commit, that there is no next time. Commits in the
middle of a session go on as before.

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
    why="does not mark as outdated what is about to be thrown away",
    test="tests/unit/mlflow_host/patches/test_statements.py",
    replaces=("mlflow.store.db.utils:_get_managed_session_maker",),
    needs=("mlflow.store.model_registry.sqlalchemy_store:_get_managed_session_maker",),
    known={"3.17.2": "1f18307528cb24b6d85ed3e14c09887e0b66c99e9d14e2a2a30de75789e2f7af"},
    services=("rest", "asgi"),
)


def ending(make: Callable[..., AbstractContextManager[Any]]) -> Callable[..., AbstractContextManager[Any]]:
    """What makes the same sessions, whose objects are not marked at the end."""

    @contextmanager
    def managed(*given: Any, **named: Any) -> Iterator[Any]:
        with make(*given, **named) as session:
            yield session
            session.expire_on_commit = False

    return managed


def apply() -> None:
    """Let both of MLflow's stores make their sessions this way."""
    from mlflow.store.db import utils
    from mlflow.store.model_registry import sqlalchemy_store as registry

    original = utils._get_managed_session_maker

    def make_maker(*given: Any, **named: Any) -> Callable[..., AbstractContextManager[Any]]:
        return ending(original(*given, **named))

    for module in (utils, registry):
        setattr(module, NAME, make_maker)
