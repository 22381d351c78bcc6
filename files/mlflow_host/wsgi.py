"""The WSGI application that gunicorn serves: MLflow's REST API and UI, and ``/ready``."""

from __future__ import annotations

from mlflow_host import artifact_names, outage, patches, settings

settings.apply()

from mlflow.server import app

from mlflow_host.body import ReadToTheEnd
from mlflow_host.questions import Questions
from mlflow_host.ready import Ready
from mlflow_host.sources import Sources
from mlflow_host.unserved import Unserved

outage.install()
telling = patches.apply("rest")["subjects"]
artifact_names.apply(app)

application = ReadToTheEnd(Ready(Questions(Unserved(Sources(telling(app))), settings.request_limit())))
