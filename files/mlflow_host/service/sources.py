"""Name the allowed sources of a model version, where MLflow only refuses one.

A setting of MLflow, a regular expression, defines them. Requests that this module does
not understand are passed on, and MLflow refuses them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mlflow_host.core import refusals
from mlflow_host.service.query_limits import peek_json

CREATE = "/mlflow/model-versions/create"
PATTERN = "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"
FORMS = ("mlflow-artifacts:/<path>", "models:/<name>/<version>", "models:/<model ID>", "runs:/<run ID>/<path>")


class Sources:
    """WSGI middleware: answers a refused source with the allowed forms.

    Args:
        application: MLflow's.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._pattern = re.compile(os.environ.get(PATTERN, ""))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("REQUEST_METHOD") != "POST" or not environ.get("PATH_INFO", "").endswith(CREATE):
            return self._application(environ, start_response)
        fields = peek_json(environ)
        source = fields.get("source") if isinstance(fields, dict) else None
        if not isinstance(source, str) or not source or self._pattern.search(source):
            return self._application(environ, start_response)
        message = f"Invalid model version source: '{source}'. Allowed are {', '.join(FORMS)}."
        return refusals.wsgi(start_response, 400, "INVALID_PARAMETER_VALUE", message)
