"""JSON without indentation.

MLflow indents what it answers, and Python's encoder in C cannot do that. The
one in Python takes a good part of a search, and the spaces are a good part of
the answer. MLflow has a parameter for it.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any


class CompactError(RuntimeError):
    """MLflow no longer answers through the function that we replace."""


def apply() -> None:
    """Let MLflow's handlers answer without indentation.

    Raises:
        CompactError: the function or its parameter is gone.
    """
    from mlflow.server import handlers

    encode: Any = getattr(handlers, "message_to_json", None)
    if encode is None or "pretty" not in inspect.signature(encode).parameters:
        raise CompactError(
            "mlflow.server.handlers.message_to_json(pretty=) is gone: adapt or remove mlflow_host.compact"
        )
    handlers.message_to_json = functools.partial(encode, pretty=False)
