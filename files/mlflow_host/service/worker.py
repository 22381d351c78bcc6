"""gunicorn's threaded worker: stays with a busy connection, and is replaced without failing a request.

For each request gunicorn passes a connection from the polling thread to a worker
thread and back: a quarter of Python's time in logging a metric. Here the thread that
has answered waits a moment for the next request itself, unless another connection
is waiting for a thread.

With ``max_requests`` gunicorn's worker exits before its successor is started; an
upload that lasts longer than the graceful timeout fails, and so does a request on
a connection that was to be kept alive. Here the successor is started first, and
the old worker exits when its last connection is closed.

A peer that is slower than the minimum rate loses its connection (``mlflow_host.service.least_rate``).
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

# Seconds that the transfers of a replaced worker may take. Those of a stopping server are limited by
# the master and by systemd.
PATIENCE = 7 * 24 * 3600
# Milliseconds that a thread waits for a connection's next request. A request on another connection
# waits no longer than this while all threads do so.
WAIT_MILLISECONDS = 2


def replace(server: Any, _worker: Any) -> None:
    """Make the oldest worker exit as soon as one more is forked: gunicorn's hook ``pre_fork``.

    Args:
        server: gunicorn's master, which terminates the oldest workers when there are more than ``num_workers``.
    """
    server.num_workers = server.cfg.workers


class Worker(ThreadWorker):  # type: ignore[misc]
    """Requests a successor where gunicorn's worker would exit, and finishes its connections."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.requests_until_asking: int = self.max_requests
        self.max_requests: int = sys.maxsize
        # Connections that wait for a thread; a deque may be changed by several at once.
        self.waiting: deque[Any] = deque()

    def run(self) -> None:
        """Work until asked to exit, then until the last connection is closed."""
        self.cfg.set("graceful_timeout", PATIENCE)
        self.checks = [check for check in (room.from_environment(), volume.presence()) if check]
        self.least_rate = settings.least_rate()
        super().run()

    def enqueue_req(self, conn: Any) -> None:
        """Queue the connection for the next free thread."""
        if not isinstance(conn.sock, Connection):
            conn.sock = Connection(conn.sock, self.least_rate)
        self.waiting.append(conn)
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Answer a request, and those that follow it at once on the same connection."""
        self.waiting.popleft()
        kept = self._answer(conn)
        while kept is True and self.alive and not self.waiting and _readable(conn.sock, WAIT_MILLISECONDS):
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
                # The oldest worker exits, which may be another one.
                self.requests_until_asking += self.cfg.max_requests
                os.kill(self.ppid, signal.SIGTTIN)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Send a heartbeat every second, also while the last transfers finish, and check the volume."""
        self.notify()
        for entry in self.checks:
            entry.check()
        super().wait_for_and_dispatch_events(min(timeout, 1.0))

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep a connection that was promised keep-alive before the worker had to exit; its next answer closes it."""
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
