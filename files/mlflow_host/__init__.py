"""The code around MLflow, which runs inside a release's virtualenv.

Entry points that systemd and gunicorn name:

``mlflow_host.service.wsgi``     REST API, UI and ``/ready`` (gunicorn)
``mlflow_host.service.asgi``     the routes that only MLflow's ASGI application has (uvicorn)
``mlflow_host.database.schema``   initializes an empty database; refuses another schema revision
``mlflow_host.artifacts.volume``   refuses a missing or wrong artifact volume
``mlflow_host.release.installed``  describes an installed release

Nothing here imports MLflow before :func:`mlflow_host.core.settings.apply` has set
the environment that MLflow reads while it is imported.
"""
