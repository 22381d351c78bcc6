"""Refuse what would be accepted and never done.

No scheduler runs beside this server, so a scorer that samples traces by itself would be
remembered and never started. Whoever switches that on hears so. Switching it off, which is
a rate of 0, goes on.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mlflow_host.questions import read_json

ONLINE_SCORING = "/mlflow/scorers/online-config"
MESSAGE = (
    "this server runs no scheduler, so online scoring would never start: "
    "score traces from a client with mlflow.genai.evaluate, or set sample_rate to 0"
)


class Unserved:
    """WSGI middleware: answers 501 where the server has nobody who would do the work.

    Args:
        application: MLflow's.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("REQUEST_METHOD") != "PUT" or not environ.get("PATH_INFO", "").endswith(ONLINE_SCORING):
            return self._application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if not _switches_on(body):
            environ["wsgi.input"] = io.BytesIO(body)
            return self._application(environ, start_response)
        answer = json.dumps({"error_code": "NOT_IMPLEMENTED", "message": MESSAGE}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        start_response("501 Not Implemented", headers)
        return [answer]


def _switches_on(body: bytes) -> bool:
    """Whether a rate is asked for that is not 0; what is no rate is for MLflow to refuse."""
    asked = read_json(body)
    try:
        return isinstance(asked, dict) and float(asked["sample_rate"]) != 0
    except (KeyError, TypeError, ValueError):
        return False
