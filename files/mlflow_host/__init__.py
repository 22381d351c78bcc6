"""What runs inside a release's virtualenv, around MLflow.

Entry points that systemd and gunicorn name:

``mlflow_host.wsgi``     REST API, UI and ``/ready`` (gunicorn)
``mlflow_host.asgi``     the routes that only MLflow's ASGI application has (uvicorn)
``mlflow_host.schema``   creates an empty database; refuses a foreign revision
``mlflow_host.volume``   refuses a missing or wrong artifact volume
``mlflow_host.release``  describes an installed release

Nothing here imports MLflow before :func:`mlflow_host.settings.apply` has set
the environment that MLflow reads while it is imported.
"""
