"""Refuse requests that would block a worker for long, before MLflow parses them.

MLflow parses filters token by token, in Python, and builds a query for each sort
key: a filter of a megabyte took 50 s, and one with 200 metrics a minute and a
gigabyte, while no other client was served. The limits are above what MLflow can
answer, or what an MLflow client sends.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from mlflow_host.core import refusals

# A shorter body costs little, unless it is a search.
SMALL_BYTES = 8 << 10
# Words, and characters outside of words. MLflow's parser refuses more than 10,000
# tokens in one list; 5,000 quoted run IDs have 25,000, including quotes, which are not tokens.
MOST_SIGNS = 26_000
# No value that MLflow stores and can search for is as long. A regular expression scans
# a word in one call, which blocks all other threads of the worker.
MOST_IN_A_WORD = 50_000
# Each is a join: 50 take a second, and 200 a minute and a gigabyte.
MOST_COMPARISONS = 50
MOST_TO_ORDER_BY = 50
MOST_DATASETS = 100
MOST_CHARACTERS_TO_ORDER_BY = 2_000
# Words and signs of a query in GraphQL; the UI's largest has a thousand.
MOST_IN_GRAPHQL = 4_000
MOST_ITEMS = 10_000
MOST_FIELDS = 1_000
MOST_DEPTH = 64

WORD = re.compile(r"\w+")
LONG_WORD = re.compile(rf"\b\w{{{MOST_IN_A_WORD + 1}}}")
# A semicolon begins another statement. In a GraphQL query a backslash may
# encode any of them, and every string is an item.
COMPARISON = re.compile(r"[<>=!]+|;|\b(?:i?like|in|is)\b", re.IGNORECASE)
STRING_OR_COMPARISON = re.compile(rf'[\\"]|{COMPARISON.pattern}', re.IGNORECASE)
FILTERS = {"filter", "filterstring"}
# Endpoints whose cost does not depend on the length alone.
SEARCHES = re.compile(r"search|graphql")
ARTIFACTS = re.compile(r"^/(ajax-)?api/2\.0/(mlflow-artifacts/artifacts/|mlflow/upload-artifact$)")


class CostlyError(Exception):
    """The request is too costly."""


def count_signs(text: str) -> int:
    """Number of words and of characters outside of words: an upper estimate of MLflow's tokens."""
    return len(WORD.sub("w", text))


def check(request: Any) -> None:
    """Check all fields of a request.

    Args:
        request: the parsed JSON.

    Raises:
        CostlyError: a field is above its limit.
    """
    level = [("", request)]
    for _ in range(MOST_DEPTH):
        level = [inner for name, value in level for inner in _inside(name, value)]
        if not level:
            return
    raise CostlyError(f"there are more than {MOST_DEPTH} levels of lists and objects in each other")


def _inside(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """The fields or items in a value. Names are compared as in protobuf: ``order_by`` is ``orderBy``."""
    plain = name.replace("_", "").lower()
    if isinstance(value, str):
        _check_text(name, plain, value)
        return ()
    if isinstance(value, dict):
        if len(value) > MOST_FIELDS:
            raise CostlyError(f"{name or 'the request'} has more than {MOST_FIELDS} fields")
        return value.items()
    if not isinstance(value, list):
        return ()
    most = MOST_TO_ORDER_BY if plain == "orderby" else MOST_ITEMS
    if len(value) > most:
        raise CostlyError(f"{name} has more than {most} items")
    return ((name, item) for item in value)


def _check_text(name: str, plain: str, text: str) -> None:
    if plain in FILTERS:
        # Checks that stop at the first match come first.
        if LONG_WORD.search(text):
            raise CostlyError(f"{name} has a word of more than {MOST_IN_A_WORD} characters")
        if _more(COMPARISON, text, MOST_COMPARISONS):
            raise CostlyError(f"{name} has more than {MOST_COMPARISONS} comparisons")
        if len(text) > MOST_SIGNS and count_signs(text) > MOST_SIGNS:
            raise CostlyError(f"{name} has more than {MOST_SIGNS} words and signs")
    elif plain == "orderby" and len(text) > MOST_CHARACTERS_TO_ORDER_BY:
        raise CostlyError(f"an item of {name} has more than {MOST_CHARACTERS_TO_ORDER_BY} characters")
    elif plain == "query":
        if _more(STRING_OR_COMPARISON, text, 2 * MOST_COMPARISONS):
            raise CostlyError(f"{name} has more than {MOST_COMPARISONS} strings: use variables")
        if len(text) > MOST_IN_GRAPHQL and count_signs(text) > MOST_IN_GRAPHQL:
            raise CostlyError(f"{name} has more than {MOST_IN_GRAPHQL} words and signs")


def _more(pattern: re.Pattern[str], text: str, most: int) -> bool:
    return next(islice(pattern.finditer(text), most, None), None) is not None


class QueryLimits:
    """WSGI middleware: passes on requests within the limits.

    Args:
        application: MLflow's.
        limit: bytes of a body that is not an artifact.
    """

    def __init__(self, application: WSGIApplication, limit: int) -> None:
        self._application = application
        self._limit = limit

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        path = environ.get("PATH_INFO", "")
        is_search = SEARCHES.search(path)
        if (length < SMALL_BYTES and not chunked and not is_search) or ARTIFACTS.search(path):
            return self._application(environ, start_response)
        if length > self._limit:
            return self._refuse(start_response, 413, "")
        # One byte more shows whether it is too long.
        body = environ["wsgi.input"].read(self._limit + 1 if chunked else length) if length or chunked else b""
        if len(body) > self._limit:
            return self._refuse(start_response, 413, "")
        try:
            request = read_json(body)
            check(request)
            if is_search:
                check(parse_qs(environ.get("QUERY_STRING", "")))
                datasets = request.get("datasets") if isinstance(request, dict) else None
                if isinstance(datasets, list) and len(datasets) > MOST_DATASETS:
                    raise CostlyError(f"datasets has more than {MOST_DATASETS} items")
        except (CostlyError, RecursionError) as error:
            message = str(error) if isinstance(error, CostlyError) else "the request is nested too deeply"
            return self._refuse(start_response, 400, message)
        environ["wsgi.input"] = io.BytesIO(body)
        if chunked:
            # Werkzeug would try to decode the chunks again.
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(len(body))
        return self._application(environ, start_response)

    def _refuse(self, start_response: StartResponse, status: int, message: str) -> Iterable[bytes]:
        message = message or f"a request may have {self._limit >> 20} MiB (mlflow_bulk_request_limit_mb)"
        return refusals.wsgi(start_response, status, "INVALID_PARAMETER_VALUE", message)


def read_json(body: bytes) -> Any:
    """The body as MLflow parses it: JSON, which older clients encode twice. MLflow refuses anything else itself."""
    try:
        parsed = json.loads(body)
        return json.loads(parsed) if isinstance(parsed, str) else parsed
    except ValueError:
        return None


def peek_json(environ: WSGIEnvironment) -> Any:
    """A request's body as JSON, without consuming it; None if it is not JSON."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    try:
        return read_json(body)
    except RecursionError:
        return None
