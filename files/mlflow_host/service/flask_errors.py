"""What Flask refuses by itself is said as MLflow says its own: in JSON, or to a browser as a page.

Flask answers in HTML where no handler of MLflow's came to it: an address that no endpoint
has, another method, a parameter that is missing, a range that a file has not, an error
that nobody caught. MLflow's client prints such a page whole.
"""

from __future__ import annotations

from typing import Any

from mlflow_host.core import refusals

# The client takes an older way where a server has no such endpoint.
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
    405: "this address does not take this method",
    416: "the artifact has no such range of bytes",
    500: "MLflow could not do it; its journal says why",
}
# They would describe the page.
REPLACED = {"content-type", "content-length"}


def refused(error: Any) -> Any:
    """The answer to an error of Flask's; a redirection, which is one to Flask, stays.

    Args:
        error: werkzeug's ``HTTPException``.
    """
    from flask import request

    status = error.code or 500
    if status < 400 or error.response is not None or request.headers.get("Accept", "").lstrip().startswith("text/html"):
        return error
    code = CODES.get(status, "INTERNAL_ERROR" if status >= 500 else "BAD_REQUEST")
    said = refusals.body(code, MESSAGES.get(status) or error.description)
    headers = [(name, value) for name, value in error.get_headers() if name.lower() not in REPLACED]
    return said, status, [*headers, ("Content-Type", "application/json")]


def apply(app: Any) -> None:
    """Let MLflow's application answer so.

    Args:
        app: Flask's.
    """
    from werkzeug.exceptions import HTTPException

    app.register_error_handler(HTTPException, refused)
