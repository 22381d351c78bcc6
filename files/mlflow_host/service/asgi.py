"""The ASGI application that uvicorn serves: traces, gateway, MCP registry and the like.

nginx sends only the paths here that Flask lacks (``mlflow_host.release.installed``).
"""

from __future__ import annotations

from mlflow_host.core import settings
from mlflow_host.patches import registry
from mlflow_host.service import outage, ready

settings.apply()

from mlflow.server.fastapi_app import app

from mlflow_host.service.asgi_backend import WithBackend
from mlflow_host.service.asgi_body import Body
from mlflow_host.service.backend import Backend
from mlflow_host.service.unserved import AsgiUnserved

outage.install()
registry.apply("asgi")

backend = Backend(ready.database)
backend.listen()

application = Body(AsgiUnserved(WithBackend(app, backend)), settings.request_limit(), settings.least_rate())
