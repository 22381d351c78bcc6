"""Say which sources of a model version are allowed, where MLflow only says that one is not.

Which they are is a setting of MLflow's, a pattern, and it is MLflow that refuses: what is
not understood here goes on to it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mlflow_host.core import refusals
from mlflow_host.service.questions import peek_json

CREATE = "/mlflow/model-versions/create"
PATTERN = "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"
FORMS = ("mlflow-artifacts:/<path>", "models:/<name>/<version>", "models:/<model ID>", "runs:/<run ID>/<path>")


class Sources:
    """WSGI middleware: a source that the pattern refuses is answered with the forms that it takes.

    Args:
        application: MLflow's.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._pattern = re.compile(os.environ.get(PATTERN, ""))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("REQUEST_METHOD") != "POST" or not environ.get("PATH_INFO", "").endswith(CREATE):
            return self._application(environ, start_response)
        asked = peek_json(environ)
        source = asked.get("source") if isinstance(asked, dict) else None
        if not isinstance(source, str) or not source or self._pattern.search(source):
            return self._application(environ, start_response)
        message = f"Invalid model version source: '{source}'. Allowed are {', '.join(FORMS)}."
        return refusals.wsgi(start_response, 400, "INVALID_PARAMETER_VALUE", message)
