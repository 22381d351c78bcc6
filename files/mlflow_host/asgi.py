"""The ASGI application that uvicorn serves: traces, gateway, MCP registry and the like.

nginx sends only the paths here that Flask lacks (``mlflow_host.release``).
"""

from __future__ import annotations

from mlflow_host import outage, patches, ready, settings

settings.apply()

from mlflow.server.fastapi_app import app

from mlflow_host.asgi_backend import WithBackend
from mlflow_host.asgi_body import Body
from mlflow_host.backend import Backend
from mlflow_host.unserved import AsgiUnserved

outage.install()
patches.apply("asgi")

backend = Backend(ready.database)
backend.listen()

application = Body(AsgiUnserved(WithBackend(app, backend)), settings.request_limit(), settings.least_rate())
