"""A connection that is closed if its peer is slower than a minimum rate.

A thread of gunicorn waits while its peer sends a body or reads an answer. A peer
that transfers a byte per second blocks the thread, and a few such peers block all
of them. The time spent waiting is limited to 30 s for each request, plus the time
that its bytes take at the minimum rate. Then the connection is closed.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from typing import Any

# Seconds.
PATIENCE = 30.0
# Bytes for one system call.
PIECE_BYTES = 1 << 20


class Connection(socket.socket):
    """A stream socket that gunicorn reads requests from and writes answers to.

    Args:
        given: the socket; this object takes it over.
        rate: minimum rate in bytes per second.
    """

    def __init__(self, given: socket.socket, rate: int) -> None:
        super().__init__(given.family, given.type, given.proto, fileno=given.detach())
        self.rate = rate
        self.start()

    def start(self) -> None:
        """Reset the counters: a request begins."""
        self.waited = 0.0
        self.moved = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive some bytes."""
        while True:
            try:
                data = super().recv(size, flags | socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._wait(select.POLLIN, self.gettimeout())
                continue
            self.moved += len(data)
            return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send everything."""
        flags |= socket.MSG_DONTWAIT
        try:
            sent = super().send(data, flags)
        except BlockingIOError:
            sent = 0
        self.moved += sent
        if sent == len(data):
            return
        rest = memoryview(data)[sent:]
        while rest:
            self._wait(select.POLLOUT, self.gettimeout())
            try:
                sent = super().send(rest[:PIECE_BYTES], flags)
            except BlockingIOError:
                continue
            self.moved += sent
            rest = rest[sent:]

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a part of a file, to its end if ``count`` is not given; returns the number of bytes."""
        own = self.gettimeout()
        start = offset
        self.setblocking(False)
        try:
            while count is None or offset - start < count:
                most = PIECE_BYTES if count is None else min(PIECE_BYTES, count - (offset - start))
                try:
                    sent = os.sendfile(self.fileno(), file.fileno(), offset, most)
                except BlockingIOError:
                    self._wait(select.POLLOUT, own)
                    continue
                if not sent:
                    break
                self.moved += sent
                offset += sent
        finally:
            self.settimeout(own)
        return offset - start

    def _wait(self, event: int, own: float | None) -> None:
        """Wait until the socket is ready.

        Raises:
            ConnectionResetError: the peer is slower than the minimum rate.
            TimeoutError: the socket's own timeout has expired.
            BlockingIOError: the socket is non-blocking.
        """
        if own == 0.0:
            raise BlockingIOError(errno.EAGAIN, "not ready")
        left = PATIENCE + self.moved / self.rate - self.waited
        poll = select.poll()
        poll.register(self.fileno(), event)
        began = time.monotonic()
        moved = left > 0 and poll.poll(1000 * (left if own is None else min(left, own)))
        self.waited += time.monotonic() - began
        if moved:
            return
        if own is not None and own < left:
            raise TimeoutError("timed out")
        raise ConnectionResetError(errno.ECONNRESET, "the peer is slower than the minimum rate")
