"""``mlflow_host.service.backend`` for the ASGI routes."""

from __future__ import annotations

import asyncio

from mlflow_host.core import refusals
from mlflow_host.service import backend
from mlflow_host.service.asgi_body import Application, Message, Receive, Send


class WithBackend:
    """ASGI middleware.

    Args:
        application: MLflow's.
        known: the state of the database.
    """

    def __init__(self, application: Application, known: backend.Backend) -> None:
        self._application, self._known = application, known

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not backend.needs_database(scope["path"]):
            await self._application(scope, receive, send)
            return
        request = backend.Request()
        if not await asyncio.to_thread(self._known.answers):
            await refusals.asgi(send, *request.answer, [backend.RETRY_AFTER])
            return
        replaced = False

        async def checked(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] >= 500 and request.lost:
                replaced = True
                await refusals.asgi(send, *request.answer, [backend.RETRY_AFTER])
            if not replaced:
                await send(message)

        token = backend.current.set(request)
        try:
            await self._application(scope, receive, checked)
        except Exception:
            # Starlette has sent its answer, and raises the error again for the journal.
            if not replaced:
                raise
        finally:
            backend.current.reset(token)
