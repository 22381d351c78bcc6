"""Serving: the workers of gunicorn and uvicorn, and the middleware around MLflow."""
