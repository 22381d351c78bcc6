"""The WSGI application that gunicorn serves: MLflow's REST API and UI, and ``/ready``."""

from __future__ import annotations

from mlflow_host.artifacts import names
from mlflow_host.core import settings
from mlflow_host.patches import registry
from mlflow_host.service import flask_errors, outage, ready

settings.apply()

from mlflow.server import app

from mlflow_host.service.backend import Backend, WithBackend
from mlflow_host.service.body import ReadToTheEnd
from mlflow_host.service.query_limits import QueryLimits
from mlflow_host.service.sources import Sources
from mlflow_host.service.statistics import Statistics
from mlflow_host.service.unserved import Unserved

outage.install()
add_subjects = registry.apply("rest")["subjects"]
names.apply(app)
flask_errors.apply(app)

backend = Backend(ready.database)
backend.listen()

application = ReadToTheEnd(
    ready.Ready(
        QueryLimits(Unserved(Sources(WithBackend(Statistics(add_subjects(app)), backend))), settings.request_limit())
    )
)
