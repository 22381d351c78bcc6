"""Refuse in the form in which MLflow does: JSON with an error code and a message, which its client shows."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse

Headers = list[tuple[str, str]]


def body(code: str, message: str) -> bytes:
    """What an answer that refuses says.

    Args:
        code: one of MLflow's error codes; its client decides by some of them what to do next.
        message: for whoever asked.
    """
    return json.dumps({"error_code": code, "message": message}).encode()


def wsgi(
    start_response: StartResponse, status: int, code: str, message: str, more: Headers | None = None
) -> Iterable[bytes]:
    """Answer a WSGI request with a refusal.

    Args:
        status: HTTP's.
        code, message: see ``body``.
        more: header fields besides those of the body.
    """
    said = body(code, message)
    start_response(f"{status} {HTTPStatus(status).phrase}", [*_described(said), *(more or [])])
    return [said]


async def asgi(
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    status: int,
    code: str,
    message: str,
    more: Headers | None = None,
) -> None:
    """Answer an ASGI request with a refusal; the same arguments."""
    said = body(code, message)
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in [*_described(said), *(more or [])]
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def _described(said: bytes) -> Headers:
    return [("Content-Type", "application/json"), ("Content-Length", str(len(said)))]
