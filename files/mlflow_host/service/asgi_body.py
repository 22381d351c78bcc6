"""Read a request's body before MLflow does: limited in size, decompressed, and with a minimum rate.

MLflow decompresses bodies without a limit, on the event loop's thread: 600 KB became
600 MB. Here the limit applies to the decompressed size, a separate thread decompresses,
and MLflow receives the plain body. The bodies of all requests in progress have a common
limit.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from mlflow_host.core import refusals
from mlflow_host.service import spans
from mlflow_host.service.least_rate import PATIENCE

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

# The names of codings, and zlib's parameter for each.
GZIP, DEFLATE, RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
CODINGS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": DEFLATE}
# Concatenated gzip streams are one body. Clients do not send many, and each costs time.
MOST_MEMBERS = 100
# Smaller bodies do not count for the common limit, which is this many full bodies.
SMALL_BYTES = 1 << 16
FULL_BODIES = 4
# The path of spans.
SPANS = "/v1/traces"
CODES = {
    400: "INVALID_PARAMETER_VALUE",
    408: "BAD_REQUEST",
    413: "INVALID_PARAMETER_VALUE",
    415: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
}


class RefusedError(Exception):
    """A request that is refused.

    Args:
        status: HTTP's.
        message: for the client.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def unpack(data: bytes, coding: str, limit: int) -> bytes:
    """The body as it was before it was compressed.

    Raises:
        RefusedError: it is longer than ``limit`` bytes, or is not of this coding.
    """
    bits = CODINGS[coding]
    # Some clients send deflate without zlib's header, as MLflow knows.
    if bits == DEFLATE and (len(data) < 2 or data[0] & 15 != 8 or int.from_bytes(data[:2], "big") % 31):
        bits = RAW
    pieces: list[bytes] = []
    room = limit
    try:
        for _ in range(MOST_MEMBERS):
            one = zlib.decompressobj(bits)
            piece = one.decompress(data, room + 1)
            if len(piece) > room:
                raise RefusedError(413, "")
            room -= len(piece)
            pieces.append(piece)
            if not one.eof:
                raise RefusedError(400, f"the body ends before its {coding} data do")
            data = one.unused_data
            # Zeros behind gzip's data are padding.
            if bits == GZIP and data[:1] == b"\0":
                data = data.lstrip(b"\0")
            if not data:
                return b"".join(pieces)
            if bits != GZIP:
                break
    except zlib.error as error:
        raise RefusedError(400, f"the body is not {coding} data: {error}") from None
    raise RefusedError(400, f"there is more behind the body's {coding} data")


def _check_spans(body: bytes, headers: dict[bytes, bytes]) -> None:
    try:
        # MLflow takes everything for protobuf that is not JSON, and refuses the rest.
        (spans.check_json if b"json" in headers.get(b"content-type", b"") else spans.check_protobuf)(body)
    except spans.TooManyError as error:
        raise RefusedError(413, str(error)) from None


class ByteBudget:
    """The common limit for the bodies of all requests in progress.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        self.free = size
        self.waiting = asyncio.Condition()

    @asynccontextmanager
    async def reserved(self, size: int) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        """Reserve bytes; yields a function that reduces the reservation.

        Raises:
            RefusedError: no space became free within the time that a client waits.
        """
        held = 0 if size < SMALL_BYTES else size

        async def shrink(wanted: int) -> None:
            nonlocal held
            more, held = held - wanted, wanted
            async with self.waiting:
                self.free += more
                self.waiting.notify_all()

        async with self.waiting:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.waiting.wait_for(lambda: self.free >= held)
            except TimeoutError:
                raise RefusedError(429, "too many large requests at once: try again later") from None
            self.free -= held
        try:
            yield shrink
        finally:
            await shrink(0)


class Body:
    """ASGI middleware.

    Args:
        application: MLflow's.
        limit: bytes of a body after unpacking.
        rate: minimum rate of a client in bytes per second.
    """

    def __init__(self, application: Application, limit: int, rate: int) -> None:
        self._application = application
        self._limit, self._rate = limit, rate
        self._budget: ByteBudget | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if self._budget is None:
            # It belongs to the worker's event loop.
            self._budget = ByteBudget(FULL_BODIES * self._limit)
        try:
            coding, length = self._coding_and_length(scope["headers"])
            async with self._budget.reserved(self._limit if coding or length is None else length) as shrink:
                body = await self._read_body(receive)
                if body is None:
                    return
                if coding and body:
                    body = await asyncio.to_thread(unpack, body, coding, self._limit)
                if len(body) >= SMALL_BYTES and scope["path"].endswith(SPANS):
                    await asyncio.to_thread(_check_spans, body, dict(scope["headers"]))
                if length is None or length >= SMALL_BYTES or coding:
                    await shrink(len(body))
                await self._application(*self._plain(scope, body, receive), self._at_least_rate(send))
        except RefusedError as error:
            await self._refuse(error, send)

    def _coding_and_length(self, headers: list[tuple[bytes, bytes]]) -> tuple[str, int | None]:
        """The coding of the body, and its length if the client declares it."""
        codings = [
            coding
            for name, value in headers
            if name == b"content-encoding"
            for coding in value.decode("latin-1").lower().replace(" ", "").replace("\t", "").split(",")
            if coding not in ("", "identity")
        ]
        if codings and (len(codings) > 1 or codings[0] not in CODINGS):
            raise RefusedError(
                415, f"Content-Encoding is gzip or deflate, and one of them: not {', '.join(codings)[:80]}"
            )
        names = dict(headers)
        # Neither header means no body in HTTP/1.1.
        length = None if b"transfer-encoding" in names else int(names.get(b"content-length", 0))
        if length is not None and length > self._limit:
            raise RefusedError(413, "")
        return "".join(codings), length

    async def _read_body(self, receive: Receive) -> bytes | None:
        """The whole body; None if the client has disconnected."""
        pieces = []
        size, waited = 0, 0.0
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, PATIENCE + size / self._rate - waited)):
                    message = await receive()
            except TimeoutError:
                raise RefusedError(408, f"the body came slower than {self._rate} bytes a second") from None
            waited += time.monotonic() - began
            if message["type"] == "http.disconnect":
                return None
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._limit:
                raise RefusedError(413, "")
            if not message.get("more_body"):
                return b"".join(pieces)

    @staticmethod
    def _plain(scope: Message, body: bytes, receive: Receive) -> tuple[Message, Receive]:
        """The request with a plain body: neither compressed nor chunked."""
        gone = (b"content-encoding", b"content-length", b"transfer-encoding")
        had = any(name in gone for name, _ in scope["headers"])
        headers = [(name, value) for name, value in scope["headers"] if name not in gone]
        if had:
            headers.append((b"content-length", str(len(body)).encode()))
        message: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def again() -> Message:
            nonlocal message
            if message is None:
                return await receive()
            first, message = message, None
            return first

        return {**scope, "headers": headers}, again

    def _at_least_rate(self, send: Send) -> Send:
        waited, size = 0.0, 0

        async def timed(message: Message) -> None:
            nonlocal waited, size
            size += len(message.get("body", b""))
            began = time.monotonic()
            async with asyncio.timeout(max(0.0, PATIENCE + size / self._rate - waited)):
                await send(message)
            waited += time.monotonic() - began

        return timed

    async def _refuse(self, error: RefusedError, send: Send) -> None:
        message = (
            error.message
            or f"a request may have {self._limit >> 20} MiB, counted after unpacking (mlflow_bulk_request_limit_mb)"
        )
        # The rest of the body is not read.
        headers = [("Connection", "close")]
        if error.status == 415:
            headers.append(("Accept-Encoding", "gzip, deflate"))
        # MLflow has not started the request, so a client may repeat it.
        if error.status == 429:
            headers.append(("Retry-After", "5"))
        await refusals.asgi(send, error.status, CODES[error.status], message, headers)
