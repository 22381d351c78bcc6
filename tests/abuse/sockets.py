"""Clients on plain sockets, many at once: what they send and read, how slowly, and how the server ended it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.abuse.found import NO_ANSWER
from tests.abuse.target import Target

# Neither answered nor closed within the timeout.
OPEN = "open"
# Concurrent handshakes: requests should load the server, not handshakes.
AT_ONCE = 40
NO_BODY = b""


@dataclass(frozen=True)
class Client:
    """What one client sends.

    Attributes:
        head: first, at once.
        piece: sent repeatedly after it.
        pause: seconds after each piece.
        most: maximum bytes of pieces.
        reads: bytes of the answer to read after each pause; all at once if 0.
        tls: whether it uses TLS.
    """

    head: bytes
    piece: bytes = NO_BODY
    pause: float = 0
    most: int = 0
    reads: int = 0
    tls: bool = True


@dataclass(frozen=True)
class Ended:
    """The result of a client's request.

    Attributes:
        status: of the answer, ``none`` if the server closed without one, or ``open``.
        seconds: until then.
        sent: bytes of pieces that were sent.
        body: of the answer.
    """

    status: str
    seconds: float
    sent: int
    body: str


async def _feed(writer: asyncio.StreamWriter, client: Client, sent: list[int]) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        writer.write(client.head)
        await writer.drain()
        while client.piece and sum(sent) < client.most:
            writer.write(client.piece)
            await writer.drain()
            sent.append(len(client.piece))
            await asyncio.sleep(client.pause)


async def _answer(reader: asyncio.StreamReader, client: Client) -> tuple[str, str]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = head.split()[1]
        # A client that was refused has nothing to send slowly.
        while client.reads and status.startswith("2"):
            # A reader that does not stop; the server closes.
            await asyncio.sleep(client.pause)
            if not await reader.read(client.reads):
                return status, ""
        sizes = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
        body = await reader.readexactly(int(sizes[0].split(":")[1])) if sizes else b""
        return status, body.decode("utf-8", "replace")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError):
        return NO_ANSWER, ""


async def talk(target: Target, client: Client, patience: float, gate: asyncio.Semaphore) -> Ended:
    """One client, until the server answers or closes, or until so many seconds have passed."""
    began, sent = time.monotonic(), [0]
    host, port = target.address
    more = {"ssl": target.tls(), "ssl_handshake_timeout": 60} if client.tls else {}
    try:
        async with gate:
            # A small receive buffer, or the server could send everything at once.
            reader, writer = await asyncio.open_connection(host, port, limit=max(4096, client.reads), **more)  # type: ignore[arg-type]
    except (OSError, TimeoutError):
        return Ended(NO_ANSWER, time.monotonic() - began, 0, "")
    feeding = asyncio.create_task(_feed(writer, client, sent))
    try:
        async with asyncio.timeout(max(0.1, patience - (time.monotonic() - began))):
            status, body = await _answer(reader, client)
    except TimeoutError:
        status, body = OPEN, ""
    feeding.cancel()
    writer.transport.abort()
    return Ended(status, time.monotonic() - began, sum(sent), body)


def talk_all(target: Target, clients: Sequence[Client], patience: float) -> list[Ended]:
    """All of them at once."""

    async def together() -> list[Ended]:
        gate = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(talk(target, client, patience, gate) for client in clients))

    return asyncio.run(together())
