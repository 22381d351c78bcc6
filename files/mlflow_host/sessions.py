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

NAME = "_get_managed_session_maker"


class SessionError(RuntimeError):
    """MLflow no longer makes its sessions with the function that we replace."""


def ending(make: Callable[..., AbstractContextManager[Any]]) -> Callable[..., AbstractContextManager[Any]]:
    """What makes the same sessions, whose objects are not marked at the end."""

    @contextmanager
    def managed(*given: Any, **named: Any) -> Iterator[Any]:
        with make(*given, **named) as session:
            yield session
            session.expire_on_commit = False

    return managed


def apply() -> None:
    """Let both of MLflow's stores make their sessions this way.

    Raises:
        SessionError: the function is gone.
    """
    from mlflow.store.db import utils
    from mlflow.store.model_registry import sqlalchemy_store as registry

    original: Callable[..., Any] = getattr(utils, NAME, ending)
    if original is ending or getattr(registry, NAME, None) is not original:
        raise SessionError(f"mlflow.store.db.utils.{NAME} is gone: adapt or remove mlflow_host.sessions")

    def make_maker(*given: Any, **named: Any) -> Callable[..., AbstractContextManager[Any]]:
        return ending(original(*given, **named))

    for module in (utils, registry):
        setattr(module, NAME, make_maker)
