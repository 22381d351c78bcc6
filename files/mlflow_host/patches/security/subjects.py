"""Say in each answer which run, experiment and model MLflow has read from the request; nginx writes that down.

A request can name a run in many ways: under two keys, twice, in escapes, in the
address beside the body. Only MLflow knows which one it takes, so it is asked: what is
said here is in the message that its handlers get. Where a handler goes by something
else, nothing is said. The names of the headers are ours alone; nginx hides them
from clients (``nginx/upstream.conf``) and writes them into the audit log.

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
    why="tells the audit log what MLflow has read from a request",
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
# Bytes of a value; with all of them nginx still has room for an answer's other headers.
LONGEST = 256
# Behind a value that was cut off. A percent sign always has two digits after it otherwise.
CUT_OFF = "%..."

# Characters; those of a database's numbers, with room for zeros and spaces.
LONGEST_NUMBER = 64

# Messages whose ``name`` is that of a registered model.
REGISTRY = "model_registry.proto"
# This handler goes by the message; all others with a model in the address go by the address.
BY_MESSAGE = "mlflow.FinalizeLoggedModel"
# These change what they list; in all others a list of experiments is where to search.
CHANGING_MANY = {
    "mlflow.CreateDataset",
    "mlflow.AddDatasetToExperiments",
    "mlflow.RemoveDatasetFromExperiments",
}
# A trace that is there already stays in its experiment, whichever the request names.
NEW_TRACE = "mlflow.StartTraceV3"
# Views of Flask's that read a request without MLflow's functions, and what they take the subject from.
UPLOAD = "serve_upload_artifact"
BY_JSON = ("serve_create_promptlab_run", "_invoke_scorer_handler")

Subject = dict[str, str]
Read = Callable[[Any], Subject]


class SubjectError(RuntimeError):
    """MLflow no longer reads requests through the functions that we listen at."""


def header_value(value: str) -> str:
    """A value as it may stand in a header: UTF-8, what is not printable percent-encoded, and of bounded length.

    Headers are Latin-1 to Python's servers, so each byte of UTF-8 is a character here.
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
    # More is never needed, and a name may have a megabyte.
    start = value[:LONGEST]
    for place, character in enumerate(start):
        at_an_end = place in (0, len(value) - 1)
        plain = character.isprintable() and character != "%" and not (character == " " and at_an_end)
        encoded = character.encode("utf-8", "surrogatepass")
        piece = encoded.decode("latin-1") if plain else "".join(f"%{byte:02X}" for byte in encoded)
        if len(piece) > room:
            return "".join(pieces) + CUT_OFF
        pieces.append(piece)
        room -= len(piece)
    return "".join(pieces) + (CUT_OFF if len(value) > LONGEST else "")


def number(value: Any) -> str:
    """The number that MLflow's stores make of this: ``01`` is the experiment ``1``; nothing if they make none."""
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER:
        try:
            value = int(value)
        except ValueError:
            return ""
    return str(value) if type(value) is int and abs(value) < 10**LONGEST_NUMBER else ""


def of_fields(descriptor: Any) -> Read:
    """What reads the subject from a message of this kind.

    Args:
        descriptor: the message's.
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
            # MLflow takes the first that is not empty.
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
    """Remembers what MLflow has read, until the request is answered, and adds it to the answer's headers.

    A request is answered by one thread from its beginning to its headers.

    Args:
        request: Flask's, of the request that is being answered.
    """

    def __init__(self, request: Any) -> None:
        self._request = request
        self._readers: dict[type[Any], Read] = {}
        self._now = threading.local()

    def message(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """What reads a request's message as ``original`` does."""

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
        """What reads a request without a message as ``original`` does."""

        def read(*given: Any, **named: Any) -> Any:
            fields = original(*given, **named)
            self._now.found = in_json(fields)
            return fields

        return read

    def answer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """What encodes an answer's message as ``original`` does."""

        def encode(message: Any, *given: Any, **named: Any) -> Any:
            if message.DESCRIPTOR.full_name == f"{NEW_TRACE}.Response":
                self._now.found = of_new_trace(message)
            return original(message, *given, **named)

        return encode

    def around(self, application: WSGIApplication) -> WSGIApplication:
        """What answers as ``application`` does, and tells the subject.

        Args:
            application: Flask's.
        """

        def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            self._now.found = None

            def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                found = self._now.found
                if found is None:
                    found = self._without_message(self._request)
                told = [(HEADERS[name], header_value(value)) for name, value in found.items() if value]
                return start_response(status, headers + told if told else headers, *more)

            return application(environ, start)

        return answer

    def _reader(self, descriptor: Any) -> Read:
        read = of_fields(descriptor)
        names = {field.name for field in descriptor.fields}
        if "model_id" not in names or "run_id" in names or descriptor.full_name == BY_MESSAGE:
            return read

        def read_address_too(message: Any) -> Subject:
            return read(message) | in_address(self._request)

        return read_address_too

    def _without_message(self, request: Any) -> Subject:
        if request.view_args:
            return in_address(request)
        if request.endpoint == UPLOAD:
            return {"run": request.args.get("run_uuid", "")}
        if request.endpoint in BY_JSON:
            # It has been parsed, and is remembered.
            return in_json(request.get_json(silent=True))
        return {}


def in_address(request: Any) -> Subject:
    """The logged model that a request's address names."""
    model = (request.view_args or {}).get("model_id")
    return {"model": model} if model else {}


def in_json(fields: Any) -> Subject:
    """The subject of a request that is plain JSON to MLflow: only an experiment is read so."""
    return {"experiment": number(fields.get("experiment_id"))} if isinstance(fields, Mapping) else {}


def check(handlers: Any, endpoints: Iterable[str]) -> None:
    """Whether MLflow is as this module takes it to be.

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
        raise SubjectError(f"mlflow.server: {', '.join(gone)} is gone: adapt or remove {__name__}")


def apply() -> Callable[[WSGIApplication], WSGIApplication]:
    """Listen to MLflow's handlers.

    Returns:
        What Flask's application must be wrapped in, so that nginx hears of it.

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
    return listener.around
