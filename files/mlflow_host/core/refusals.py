"""Refuse requests in the form of MLflow: JSON with an error code and a message, which its client shows."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse

Headers = list[tuple[str, str]]


def body(code: str, message: str) -> bytes:
    """The body of the answer.

    Args:
        code: one of MLflow's error codes; its client decides by some of them what to do next.
        message: for the user.
    """
    return json.dumps({"error_code": code, "message": message}).encode()


def wsgi(
    start_response: StartResponse, status: int, code: str, message: str, more: Headers | None = None
) -> Iterable[bytes]:
    """Answer a WSGI request with a refusal.

    Args:
        status: of HTTP.
        code, message: see ``body``.
        more: further header fields.
    """
    data = body(code, message)
    start_response(f"{status} {HTTPStatus(status).phrase}", [*_content_headers(data), *(more or [])])
    return [data]


async def asgi(
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    status: int,
    code: str,
    message: str,
    more: Headers | None = None,
) -> None:
    """Answer an ASGI request with a refusal; the same arguments."""
    data = body(code, message)
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in [*_content_headers(data), *(more or [])]
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def _content_headers(data: bytes) -> Headers:
    return [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
