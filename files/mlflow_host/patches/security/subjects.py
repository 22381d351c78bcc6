"""Report in each answer which run, experiment and model MLflow has read from the request, for the audit log.

A request can name a run in many ways: under two keys, twice, in escapes, in the URL
and in the body. Only MLflow knows which one it uses, so the values are taken from the
message that its handlers get. Where a handler uses something else, nothing is reported.
The headers are our own; nginx hides them from clients (``nginx/upstream.conf``) and
writes them to the audit log.

Source: ``mlflow.server.handlers`` of MLflow 3.17.2, ``_get_request_message`` and what each handler does with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mlflow_host.core.known import SAFETY, Patch

PATCH = Patch(
    name="subjects",
    kind=SAFETY,
    why="reports to the audit log what MLflow has read from a request",
    test="tests/host/test_audit.py",
    replaces=(
        "mlflow.server.handlers:_get_request_message",
        "mlflow.server.handlers:_get_validated_flask_request_json",
    ),
    needs=("mlflow.server.handlers:message_to_json",),
    known={"3.17.2": "d1ebef01f6b300d2701ae7109b3415edd9449e164823fc96a40faaafd0252dee"},
)

HEADERS = {
    "run": "X-Subject-Run",
    "experiment": "X-Subject-Experiment",
    "model": "X-Subject-Model",
    "version": "X-Subject-Version",
}
# Bytes of a value; nginx then still has space for the other headers of an answer.
LONGEST = 256
# Suffix of a truncated value. Otherwise a percent sign is always followed by two digits.
CUT_OFF = "%..."

# Characters of a number, with space for zeros and blanks.
LONGEST_NUMBER = 64

# Messages whose ``name`` is that of a registered model.
REGISTRY = "model_registry.proto"
# This handler uses the message; all others with a model in the URL use the URL.
BY_MESSAGE = "mlflow.FinalizeLoggedModel"
# These change the listed experiments; in all others a list of experiments is where to search.
CHANGING_MANY = {
    "mlflow.CreateDataset",
    "mlflow.AddDatasetToExperiments",
    "mlflow.RemoveDatasetFromExperiments",
}
# An existing trace stays in its experiment, whichever the request names.
NEW_TRACE = "mlflow.StartTraceV3"
# Flask views that read a request without MLflow's functions, and where their subject is.
UPLOAD = "serve_upload_artifact"
BY_JSON = ("serve_create_promptlab_run", "_invoke_scorer_handler")

Subject = dict[str, str]
Read = Callable[[Any], Subject]


class SubjectError(RuntimeError):
    """MLflow no longer reads requests through the functions that we wrap."""


def header_value(value: str) -> str:
    """A value for a header: UTF-8, percent-encoded where not printable, and truncated.

    Python's servers encode headers as Latin-1, so each byte of UTF-8 is a character here.
    """
    if (
        value.isascii()
        and value.isprintable()
        and len(value) <= LONGEST
        and "%" not in value
        and value == value.strip()
    ):
        return value
    pieces: list[str] = []
    room = LONGEST
    # A name may have a megabyte.
    start = value[:LONGEST]
    for place, character in enumerate(start):
        is_outer = place in (0, len(value) - 1)
        plain = character.isprintable() and character != "%" and not (character == " " and is_outer)
        encoded = character.encode("utf-8", "surrogatepass")
        piece = encoded.decode("latin-1") if plain else "".join(f"%{byte:02X}" for byte in encoded)
        if len(piece) > room:
            return "".join(pieces) + CUT_OFF
        pieces.append(piece)
        room -= len(piece)
    return "".join(pieces) + (CUT_OFF if len(value) > LONGEST else "")


def number(value: Any) -> str:
    """The number as MLflow's stores parse it: ``01`` is the experiment ``1``; empty if it is invalid."""
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER:
        try:
            value = int(value)
        except ValueError:
            return ""
    return str(value) if type(value) is int and abs(value) < 10**LONGEST_NUMBER else ""


def field_reader(descriptor: Any) -> Read:
    """A function that reads the subject from a message of this kind.

    Args:
        descriptor: of the message.
    """
    names = {field.name for field in descriptor.fields}
    runs = [name for name in ("run_id", "run_uuid", "source_run_id") if name in names]
    in_registry = descriptor.file.name == REGISTRY
    one = "experiment_id" in names and descriptor.full_name != NEW_TRACE
    many = descriptor.full_name in CHANGING_MANY
    model = "name" if in_registry and "name" in names else "model_id" if "model_id" in names else ""
    version = in_registry and "version" in names

    def read(message: Any) -> Subject:
        found: Subject = {}
        for name in runs:
            # MLflow uses the first that is not empty.
            if value := getattr(message, name):
                found["run"] = value
                break
        if one and (value := number(message.experiment_id)):
            found["experiment"] = value
        if many:
            found["experiment"] = ",".join(filter(None, map(number, message.experiment_ids[:LONGEST])))
        if model and (value := getattr(message, model)):
            found["model"] = value
        if version and (value := number(message.version)):
            found["version"] = value
        return found

    return read


def of_new_trace(message: Any) -> Subject:
    """The experiment that a trace is in, from the answer to its creation."""
    return {"experiment": message.trace.trace_info.trace_location.mlflow_experiment.experiment_id}


class Listener:
    """Stores what MLflow has read until the request is answered, and adds it to the answer's headers.

    One thread handles a request up to its headers.

    Args:
        request: Flask's current request.
    """

    def __init__(self, request: Any) -> None:
        self._request = request
        self._readers: dict[type[Any], Read] = {}
        self._now = threading.local()

    def message(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the function that parses a request's message."""

        def read(*given: Any, **named: Any) -> Any:
            message = original(*given, **named)
            kind = type(message)
            reader = self._readers.get(kind)
            if reader is None:
                reader = self._readers[kind] = self._reader(message.DESCRIPTOR)
            self._now.found = reader(message)
            return message

        return read

    def fields(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the function that parses a request without a message."""

        def read(*given: Any, **named: Any) -> Any:
            fields = original(*given, **named)
            self._now.found = from_json(fields)
            return fields

        return read

    def answer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the function that encodes an answer's message."""

        def encode(message: Any, *given: Any, **named: Any) -> Any:
            if message.DESCRIPTOR.full_name == f"{NEW_TRACE}.Response":
                self._now.found = of_new_trace(message)
            return original(message, *given, **named)

        return encode

    def wrap(self, application: WSGIApplication) -> WSGIApplication:
        """Wrap the application so that it adds the subject to its answers.

        Args:
            application: Flask's.
        """

        def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            self._now.found = None

            def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                found = self._now.found
                if found is None:
                    found = self._without_message(self._request)
                added = [(HEADERS[name], header_value(value)) for name, value in found.items() if value]
                return start_response(status, headers + added if added else headers, *more)

            return application(environ, start)

        return answer

    def _reader(self, descriptor: Any) -> Read:
        read = field_reader(descriptor)
        names = {field.name for field in descriptor.fields}
        if "model_id" not in names or "run_id" in names or descriptor.full_name == BY_MESSAGE:
            return read

        def read_with_url(message: Any) -> Subject:
            return read(message) | from_url(self._request)

        return read_with_url

    def _without_message(self, request: Any) -> Subject:
        if request.view_args:
            return from_url(request)
        if request.endpoint == UPLOAD:
            return {"run": request.args.get("run_uuid", "")}
        if request.endpoint in BY_JSON:
            # Already parsed and cached.
            return from_json(request.get_json(silent=True))
        return {}


def from_url(request: Any) -> Subject:
    """The logged model in a request's URL."""
    model = (request.view_args or {}).get("model_id")
    return {"model": model} if model else {}


def from_json(fields: Any) -> Subject:
    """The subject of a request that MLflow parses as plain JSON: only an experiment."""
    return {"experiment": number(fields.get("experiment_id"))} if isinstance(fields, Mapping) else {}


def check(handlers: Any, endpoints: Iterable[str]) -> None:
    """Check that MLflow is as this module expects.

    Args:
        handlers: the module ``mlflow.server.handlers``.
        endpoints: names of Flask's views.

    Raises:
        SubjectError: it is not.
    """
    names = ("_get_request_message", "_get_validated_flask_request_json", "message_to_json")
    gone = [name for name in names if not hasattr(handlers, name)]
    gone += sorted({UPLOAD, *BY_JSON} - set(endpoints))
    if gone:
        raise SubjectError(f"mlflow.server: {', '.join(gone)} does not exist: adapt or remove {__name__}")


def apply() -> Callable[[WSGIApplication], WSGIApplication]:
    """Wrap the functions of MLflow's handlers.

    Returns:
        The wrapper for Flask's application, which adds the headers.

    Raises:
        SubjectError: as :func:`check`.
    """
    from flask import request
    from mlflow.server import app, handlers

    check(handlers, app.view_functions)
    listener = Listener(request)
    handlers._get_request_message = listener.message(handlers._get_request_message)
    handlers._get_validated_flask_request_json = listener.fields(handlers._get_validated_flask_request_json)
    handlers.message_to_json = listener.answer(handlers.message_to_json)
    return listener.wrap
