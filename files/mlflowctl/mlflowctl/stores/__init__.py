"""Where MLflow keeps its rows and its artifacts."""
