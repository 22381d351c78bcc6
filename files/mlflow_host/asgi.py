"""The ASGI application that uvicorn serves: traces, gateway, MCP registry and the like.

nginx sends only the paths here that Flask lacks (``mlflow_host.release``).
"""

from __future__ import annotations

from mlflow_host import outage, patches, settings

settings.apply()

from mlflow.server.fastapi_app import app

from mlflow_host.asgi_body import Body
from mlflow_host.unserved import AsgiUnserved

outage.install()
patches.apply("asgi")

application = Body(AsgiUnserved(app), settings.request_limit(), settings.least_rate())
