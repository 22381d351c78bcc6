"""The WSGI application that gunicorn serves: MLflow's REST API and UI, and ``/ready``."""

from __future__ import annotations

from mlflow_host import artifact_names, flask_errors, outage, patches, ready, settings

settings.apply()

from mlflow.server import app

from mlflow_host.backend import Backend, WithBackend
from mlflow_host.body import ReadToTheEnd
from mlflow_host.questions import Questions
from mlflow_host.sources import Sources
from mlflow_host.statistics import Statistics
from mlflow_host.unserved import Unserved

outage.install()
telling = patches.apply("rest")["subjects"]
artifact_names.apply(app)
flask_errors.apply(app)

backend = Backend(ready.database)
backend.listen()

application = ReadToTheEnd(
    ready.Ready(Questions(Unserved(Sources(WithBackend(Statistics(telling(app)), backend))), settings.request_limit()))
)
