"""uvicorn as gunicorn's worker: MLflow is loaded once, and a worker is replaced without failing a request.

uvicorn's own workers each load MLflow for themselves. When one has to leave it
closes its idle connections at once, and nginx may just be sending a request on
one of them. Here a leaving worker takes no new connection, says with each answer that it is
the connection's last, and closes what is left when nginx has closed what is idle.
As in ``mlflow_host.service.worker`` the successor comes before the worker goes.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, ClassVar

from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

# Seconds; longer than nginx keeps an idle connection (4 s, nginx/site.conf).
UNTIL_IDLE_ONES_ARE_CLOSED = 6.0


class LeavingServer(Server):  # type: ignore[misc]
    """Asks for a successor after so many requests, and leaves gently."""

    def __init__(self, config: Any, notify: Any, most_requests: int) -> None:
        super().__init__(config)
        self.notify = notify
        self.most_requests = most_requests
        self.requests_until_asking = most_requests

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second. The master forks one more on SIGTTIN, and the oldest goes."""
        if self.most_requests and self.server_state.total_requests >= self.requests_until_asking:
            self.requests_until_asking += self.most_requests
            os.kill(os.getppid(), signal.SIGTTIN)
        ends: bool = await super().on_tick(counter)
        return ends

    async def shutdown(self, sockets: Any = None) -> None:
        """Take no new connection, end each one with its next answer, then leave when the last transfer has ended."""
        alive = asyncio.create_task(self._say_that_it_lives())
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        end = asyncio.get_running_loop().time() + UNTIL_IDLE_ONES_ARE_CLOSED
        while self.server_state.connections and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)
        alive.cancel()

    async def _say_that_it_lives(self) -> None:
        while True:
            self.notify()
            await asyncio.sleep(1)


class Worker(UvicornWorker):  # type: ignore[misc]
    """Serves with the server above. MLflow's assistant trusts clients from localhost, so no header names the client."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        "access_log": False,
        "proxy_headers": False,
    }

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        # Counted above; uvicorn would leave before anybody takes its place.
        self.config.limit_max_requests = None
        self._install_sigquit_handler()
        most = self.max_requests if self.cfg.max_requests else 0
        await LeavingServer(self.config, self.notify, most).serve(sockets=self.sockets)
