"""gunicorn's threaded worker: stays with a busy connection, and is replaced without failing a request.

gunicorn hands a connection from the thread that waits for requests to one that
answers, and back, for each request: a quarter of Python's time in logging a
metric. Here the thread that has answered waits a moment for the next request
itself, unless another connection is waiting for a thread.

gunicorn's own way (``max_requests``) is to leave and be missed until the next
one is there; an upload that lasts longer than its patience fails, and so does a
request on a connection that it has just promised to keep. Here the successor
comes first, and the old worker goes when its last connection has gone.

A peer that is slower than the least rate loses its connection (``mlflow_host.service.least_rate``).
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import sys
from collections import deque
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from mlflow_host.artifacts import volume
from mlflow_host.core import settings
from mlflow_host.service import room
from mlflow_host.service.least_rate import Connection

# Seconds. As long as the transfers of a worker that was replaced go on; how long those of a stopping
# server may is for the master to say, and for systemd.
PATIENCE = 7 * 24 * 3600
# Milliseconds that a thread waits for a connection's next request. A request on another connection
# waits no longer than this while all threads do so.
STAY = 2


def replace(server: Any, _worker: Any) -> None:
    """Let the oldest worker go as soon as one more is forked: gunicorn's hook ``pre_fork``.

    Args:
        server: gunicorn's master, which terminates the oldest workers when there are more than ``num_workers``.
    """
    server.num_workers = server.cfg.workers


class Worker(ThreadWorker):  # type: ignore[misc]
    """Asks for a successor where gunicorn's would leave, and leaves gently."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.requests_until_asking: int = self.max_requests
        self.max_requests: int = sys.maxsize
        # Connections that wait for a thread; a deque may be changed by several at once.
        self.waiting: deque[Any] = deque()

    def run(self) -> None:
        """Work until told to leave, then until the last connection has gone."""
        self.cfg.set("graceful_timeout", PATIENCE)
        self.looks = [look for look in (room.from_environment(), volume.presence()) if look]
        self.least_rate = settings.least_rate()
        super().run()

    def enqueue_req(self, conn: Any) -> None:
        """Let the next free thread answer."""
        if not isinstance(conn.sock, Connection):
            conn.sock = Connection(conn.sock, self.least_rate)
        self.waiting.append(conn)
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Answer a request, and those that follow it at once on the same connection."""
        self.waiting.popleft()
        kept = self._answer(conn)
        while kept is True and self.alive and not self.waiting and _readable(conn.sock, STAY):
            kept = self._answer(conn)
        return kept

    def _answer(self, conn: Any) -> Any:
        conn.sock.start()
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer, then count. The master forks one more on SIGTTIN."""
        try:
            return super().handle_request(req, conn)
        finally:
            if self.nr >= self.requests_until_asking and self.alive:
                # The oldest goes, which may be another one.
                self.requests_until_asking += self.cfg.max_requests
                os.kill(self.ppid, signal.SIGTTIN)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Say every second that it lives, also while it only waits for its last transfers, and look at the volume."""
        self.notify()
        for one in self.looks:
            one.look()
        super().wait_for_and_dispatch_events(min(timeout, 1.0))

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep a connection whose client was told so before the worker had to leave; the next answer ends it."""
        if self.alive or fs.cancelled() or fs.exception() or fs.result() is not True:
            super().finish_request(conn, fs)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))


def _readable(sock: Any, milliseconds: int) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(milliseconds))
