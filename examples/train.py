#!/usr/bin/env python3
"""A first training run, logged the way an unmodified MLflow client does it.

Trains a classifier on scikit-learn's wine data, with autologging, metrics over
steps, a figure, a nested artifact directory, a trace and a registered model,
then loads the model back by its alias and compares the predictions.

The server is taken from the environment, as for any client:
MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD and
MLFLOW_TRACKING_SERVER_CERT_PATH.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import mlflow
import numpy as np
from matplotlib import pyplot
from mlflow import MlflowClient
from sklearn.datasets import load_wine
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import ConfusionMatrixDisplay, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

EXPERIMENT = "wine"
MODEL = "wine-classifier"
ALIAS = "champion"
STEPS = 20


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(f"  {text}", flush=True)


@mlflow.trace
def predict(model: object, rows: np.ndarray) -> list[int]:
    """Predict classes for ``rows``; each call is one trace."""
    return [int(value) for value in model.predict(rows)]  # type: ignore[attr-defined]


def log_learning_curve(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> None:
    """Train step by step and log the loss of each step."""
    scaler = StandardScaler().fit(train[0])
    classifier = SGDClassifier(loss="log_loss", random_state=0)
    classes = np.unique(train[1])
    for step in range(STEPS):
        classifier.partial_fit(scaler.transform(train[0]), train[1], classes=classes)
        loss = log_loss(test[1], classifier.predict_proba(scaler.transform(test[0])))
        mlflow.log_metric("test_loss", loss, step=step)


def main() -> int:
    """Run the example; exit 1 if what comes back is not what was logged."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        print("MLFLOW_TRACKING_URI is not set: source the client's environment first", file=sys.stderr)
        return 2
    client = MlflowClient()
    data = load_wine()
    x_train, x_test, y_train, y_test = train_test_split(data.data, data.target, random_state=0)

    mlflow.set_experiment(EXPERIMENT)
    mlflow.sklearn.autolog(log_models=False, silent=True)
    with mlflow.start_run() as run:
        say("training with autologging")
        model = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0))
        model.fit(x_train, y_train)
        mlflow.log_metric("test_accuracy", model.score(x_test, y_test))
        log_learning_curve((x_train, y_train), (x_test, y_test))

        say("logging a figure and a directory")
        display = ConfusionMatrixDisplay.from_estimator(model, x_test, y_test)
        mlflow.log_figure(display.figure_, "figures/confusion.png")
        pyplot.close(display.figure_)
        with tempfile.TemporaryDirectory() as folder:
            nested = Path(folder) / "by class" / "details"
            nested.mkdir(parents=True)
            for number, name in enumerate(data.target_names):
                (nested / f"{name}.txt").write_text(f"{int((y_test == number).sum())} test rows\n")
            mlflow.log_artifacts(folder, "report")

        say("logging a trace")
        predict(model, x_test[:3])

        say("registering the model")
        version = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=MODEL,
            input_example=x_test[:2],
            serialization_format="pickle",
        ).registered_model_version
        client.set_registered_model_alias(MODEL, ALIAS, str(version))
    mlflow.flush_trace_async_logging()

    say("reading everything back")
    loaded = mlflow.sklearn.load_model(f"models:/{MODEL}@{ALIAS}")
    logged = client.get_run(run.info.run_id).data
    names = [item.path for item in client.list_artifacts(run.info.run_id, "report/by class/details")]
    traces = mlflow.search_traces(locations=[run.info.experiment_id], return_type="list", run_id=run.info.run_id)
    checks = {
        "predictions of the loaded model": bool((loaded.predict(x_test) == model.predict(x_test)).all()),
        "autologged parameters": "sgdclassifier__loss" in logged.params,
        "metric history": len(client.get_metric_history(run.info.run_id, "test_loss")) == STEPS,
        "files of the nested directory": len(names) == len(data.target_names),
        "trace": len(traces) == 1 and bool(traces[0].data.spans),
    }
    for what, good in checks.items():
        say(f"{'equal' if good else 'DIFFERENT'}: {what}")
    url = os.environ["MLFLOW_TRACKING_URI"].rstrip("/")
    print(f"{url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
