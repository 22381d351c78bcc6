"""The WSGI application that gunicorn serves: MLflow's REST API and UI, and ``/ready``."""

from __future__ import annotations

from mlflow_host import (
    answers,
    artifact_names,
    confine,
    experiments,
    metrics,
    new_runs,
    no_login,
    ping,
    searches,
    sessions,
    settings,
    subjects,
    values,
)

settings.apply()

from mlflow.server import app

from mlflow_host.body import ReadToTheEnd
from mlflow_host.questions import Questions
from mlflow_host.ready import Ready

confine.apply()
experiments.apply()
answers.apply()
artifact_names.apply(app)
metrics.apply()
new_runs.apply()
no_login.apply()
ping.apply()
searches.apply()
sessions.apply()
telling = subjects.apply()
values.apply()

application = ReadToTheEnd(Ready(Questions(telling(app), settings.request_limit())))
