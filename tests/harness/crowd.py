"""More concurrent clients than a server can serve; standard library only, so that it also runs on the host itself.

Reads one JSON object in a line: ``address``, ``port``, ``host`` (the Host header), ``headers``, ``path``, ``body``,
``health`` (an open path) and ``clients``. Connects them all, prints a line, and waits for one on standard input before all send their requests. Prints how
many answers of each kind there were: its status, with ``, retry after`` if it has that header.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from collections import Counter
from typing import Any


async def answer(reader: asyncio.StreamReader) -> str:
    """Read one answer; returns its kind."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next((int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length:")), 0)
    await reader.readexactly(length)
    return head.split()[1] + (", retry after" if "\r\nretry-after:" in head else "")


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connection(wanted: dict[str, Any]) -> Streams:
    """A working connection, which the server keeps open for a minute.

    Tried three times: on a busy machine one process is late with hundreds of handshakes, and the server gives up after 30 s.
    """
    for _ in range(2):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            return await _connection(wanted)
    return await _connection(wanted)


async def _connection(wanted: dict[str, Any]) -> Streams:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        wanted["address"], wanted["port"], ssl=context, ssl_handshake_timeout=300
    )
    writer.write(f"GET {wanted['health']} HTTP/1.1\r\nHost: {wanted['host']}\r\n\r\n".encode())
    await answer(reader)
    return reader, writer


async def client(wanted: dict[str, Any], streams: Streams, kinds: Counter[str]) -> None:
    """One client's request."""
    reader, writer = streams
    lines = [f"POST {wanted['path']} HTTP/1.1", f"Host: {wanted['host']}", f"Content-Length: {len(wanted['body'])}"]
    lines += [f"{name}: {value}" for name, value in wanted["headers"].items()]
    request = "\r\n".join([*lines, "", wanted["body"]]).encode()
    try:
        writer.write(request)
        kinds[await answer(reader)] += 1
    except (OSError, asyncio.IncompleteReadError) as error:
        kinds[f"no answer: {type(error).__name__}"] += 1
    finally:
        writer.close()


async def crowd(wanted: dict[str, Any]) -> Counter[str]:
    """All clients connect, wait for the line, and send their requests."""
    kinds: Counter[str] = Counter()
    opened = await asyncio.gather(*(connection(wanted) for _ in range(wanted["clients"])), return_exceptions=True)
    connected = []
    for streams in opened:
        if isinstance(streams, BaseException):
            kinds[f"no connection: {type(streams).__name__}"] += 1
        else:
            connected.append(streams)
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(client(wanted, streams, kinds) for streams in connected))
    return kinds


if __name__ == "__main__":
    print(json.dumps(asyncio.run(crowd(json.loads(sys.stdin.readline())))))
