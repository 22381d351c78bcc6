"""Errors of Flask itself in the form of MLflow's errors: JSON, or a page for browsers.

Flask answers in HTML where no handler of MLflow is involved: unknown addresses, wrong
methods, missing parameters, invalid ranges, uncaught errors. MLflow's client prints
the whole page.
"""

from __future__ import annotations

from typing import Any

from mlflow_host.core import refusals

# The client falls back to an older API if a server has no such endpoint.
CODES = {
    400: "INVALID_PARAMETER_VALUE",
    404: "ENDPOINT_NOT_FOUND",
    405: "BAD_REQUEST",
    413: "REQUEST_LIMIT_EXCEEDED",
    415: "BAD_REQUEST",
    416: "INVALID_PARAMETER_VALUE",
}
MESSAGES = {
    404: "there is nothing at this address",
    405: "this address does not accept this method",
    416: "the artifact has no such range of bytes",
    500: "MLflow failed; its journal has the reason",
}
# Headers that describe the replaced page.
REPLACED = {"content-type", "content-length"}


def refused(error: Any) -> Any:
    """The answer to an error of Flask; a redirection, which Flask raises as an error, is kept.

    Args:
        error: werkzeug's ``HTTPException``.
    """
    from flask import request

    status = error.code or 500
    if status < 400 or error.response is not None or request.headers.get("Accept", "").lstrip().startswith("text/html"):
        return error
    code = CODES.get(status, "INTERNAL_ERROR" if status >= 500 else "BAD_REQUEST")
    data = refusals.body(code, MESSAGES.get(status) or error.description)
    headers = [(name, value) for name, value in error.get_headers() if name.lower() not in REPLACED]
    return data, status, [*headers, ("Content-Type", "application/json")]


def apply(app: Any) -> None:
    """Register the handler in MLflow's application.

    Args:
        app: Flask's.
    """
    from werkzeug.exceptions import HTTPException

    app.register_error_handler(HTTPException, refused)
