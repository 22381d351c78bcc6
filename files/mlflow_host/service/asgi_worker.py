"""uvicorn as gunicorn's worker: MLflow is loaded once, and a worker is replaced without failing a request.

uvicorn's own workers each load MLflow themselves. When one has to exit it closes its
idle connections at once, while nginx may be sending a request on one of them. Here an
exiting worker accepts no new connection, marks each answer as the connection's last,
and closes the rest when nginx has closed its idle connections. As in
``mlflow_host.service.worker`` the successor is started first.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, ClassVar

from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

# Longer than nginx keeps an idle connection (4 s, nginx/site.conf).
IDLE_CLOSE_SECONDS = 6.0


class GracefulServer(Server):  # type: ignore[misc]
    """Requests a successor after a number of requests, and finishes its connections before it exits."""

    def __init__(self, config: Any, notify: Any, most_requests: int) -> None:
        super().__init__(config)
        self.notify = notify
        self.most_requests = most_requests
        self.requests_until_asking = most_requests

    async def on_tick(self, counter: int) -> bool:
        """Called ten times per second. On SIGTTIN the master forks one more worker, and the oldest exits."""
        if self.most_requests and self.server_state.total_requests >= self.requests_until_asking:
            self.requests_until_asking += self.most_requests
            os.kill(os.getppid(), signal.SIGTTIN)
        stop: bool = await super().on_tick(counter)
        return stop

    async def shutdown(self, sockets: Any = None) -> None:
        """Accept no new connection, close each with its next answer, and exit when the last transfer has ended."""
        heartbeat = asyncio.create_task(self._heartbeat())
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        end = asyncio.get_running_loop().time() + IDLE_CLOSE_SECONDS
        while self.server_state.connections and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)
        heartbeat.cancel()

    async def _heartbeat(self) -> None:
        while True:
            self.notify()
            await asyncio.sleep(1)


class Worker(UvicornWorker):  # type: ignore[misc]
    """Serves with the server above. MLflow's assistant trusts clients on localhost, so no header names the client."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        "access_log": False,
        "proxy_headers": False,
    }

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        # Counted above; uvicorn would exit before its successor is started.
        self.config.limit_max_requests = None
        self._install_sigquit_handler()
        most = self.max_requests if self.cfg.max_requests else 0
        await GracefulServer(self.config, self.notify, most).serve(sockets=self.sockets)
