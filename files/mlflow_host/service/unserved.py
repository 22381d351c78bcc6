"""Refuse requests that would be accepted and never processed.

This server has no scheduler, no job runner and only one workspace. MLflow answers such
requests with 500 or 503, which its clients repeat for minutes, and names settings that
the playbook refuses; an online scorer would be stored and never started. Here they are
answered with 501 and one sentence, which clients show at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mlflow_host.core import refusals
from mlflow_host.service.query_limits import peek_json

# Status and MLflow's error code.
REFUSED = (501, "NOT_IMPLEMENTED")
ONLINE_SCORING = "/mlflow/scorers/online-config"
NO_SCHEDULER = (
    "this server runs no scheduler, so online scoring would never start: "
    "score traces from a client with mlflow.genai.evaluate, or set sample_rate to 0"
)
NO_JOBS = "this server runs no jobs: "
# Method and path of each endpoint, and the message.
ENDPOINTS = [
    (re.compile(rf"{method} /(ajax-)?api/\d\.0{path}"), message)
    for method, path, message in [
        ("POST", "/jobs/?", NO_JOBS + "do the work where the client runs"),
        ("POST", "/mlflow/genai/evaluate/invoke", NO_JOBS + "evaluate from a client with mlflow.genai.evaluate"),
        ("POST", "/mlflow/scorer/invoke", NO_JOBS + "score traces from a client with mlflow.genai.evaluate"),
        ("POST", "/mlflow/issues/invoke", NO_JOBS + "read traces from a client with mlflow.search_traces"),
        (
            "POST",
            "/mlflow/prompt-optimization/jobs",
            NO_JOBS + "optimize prompts from a client with mlflow.genai.optimize_prompts",
        ),
        (r"\w+", "/mlflow/workspaces(/[^/]+)?", "this server has no workspaces: all experiments and models are in one"),
    ]
]


def refusal(method: str, path: str) -> str:
    """Why an endpoint is not supported here; empty if it is.

    Args:
        method: in capitals.
        path: decoded, without a query.
    """
    return next((message for pattern, message in ENDPOINTS if pattern.fullmatch(f"{method} {path}")), "")


class Unserved:
    """WSGI middleware: answers 501 for unsupported requests.

    Args:
        application: MLflow's.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ.get("REQUEST_METHOD", ""), environ.get("PATH_INFO", "")
        message = refusal(method, path)
        if method == "PUT" and path.endswith(ONLINE_SCORING):
            message = NO_SCHEDULER if _switches_on(peek_json(environ)) else ""
        if not message:
            return self._application(environ, start_response)
        return refusals.wsgi(start_response, *REFUSED, message)


class AsgiUnserved:
    """The same for ASGI.

    Args:
        application: MLflow's.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        message = refusal(scope["method"], scope["path"]) if scope["type"] == "http" else ""
        if not message:
            await self._application(scope, receive, send)
            return
        await refusals.asgi(send, *REFUSED, message)


def _switches_on(fields: Any) -> bool:
    """Whether the requested rate is not 0; MLflow itself refuses what is not a number."""
    try:
        return isinstance(fields, dict) and float(fields["sample_rate"]) != 0
    except (KeyError, TypeError, ValueError):
        return False
