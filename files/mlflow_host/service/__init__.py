"""What answers requests: gunicorn, uvicorn and what stands around MLflow in them."""
