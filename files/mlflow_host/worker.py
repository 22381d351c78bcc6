"""gunicorn's threaded worker, replaced after many requests without failing one.

gunicorn's own way (``max_requests``) is to leave and be missed until the next
one is there; an upload that lasts longer than its patience fails, and so does a
request on a connection that it has just promised to keep. Here the successor
comes first, and the old worker goes when its last connection has gone.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# Seconds. As long as the transfers of a worker that was replaced go on; how long those of a stopping
# server may is for the master to say, and for systemd.
PATIENCE = 7 * 24 * 3600


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

    def run(self) -> None:
        """Work until told to leave, then until the last connection has gone."""
        self.cfg.set("graceful_timeout", PATIENCE)
        super().run()

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
        """Say every second that it lives, also while it only waits for its last transfers."""
        self.notify()
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
