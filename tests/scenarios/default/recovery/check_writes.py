"""Check that acknowledged writes exist. ``check_writes.py JOURNAL UNTIL`` prints the missing ones, one JSON line each."""

from __future__ import annotations

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

client = MlflowClient()
lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
wanted = [line for line in lines if "error" not in line and line["time"] < float(sys.argv[2])]


def there(line: dict[str, object]) -> bool:
    """Whether one acknowledged write exists, with its content."""
    try:
        match line["kind"]:
            case "param":
                return bool(client.get_run(line["run"]).data.params.get(line["key"]) == line["value"])
            case "metric":
                return bool(abs(client.get_run(line["run"]).data.metrics.get(line["key"], 0) - line["value"]) < 1e-9)
            case "artifact" if line["path"] == "out/kept.txt":
                with tempfile.TemporaryDirectory() as folder:
                    return (
                        Path(client.download_artifacts(line["run"], line["path"], folder)).read_text() == line["text"]
                    )
            case "model":
                return client.get_logged_model(line["model"]).status.name == "READY" and any(
                    file.path == "MLmodel" for file in client.list_logged_model_artifacts(line["model"])
                )
            case "finished":
                return bool(client.get_run(line["run"]).info.status == "FINISHED")
    except MlflowException as error:
        print(error, file=sys.stderr)
        return False
    return True


with ThreadPoolExecutor(8) as pool:
    for line, found in zip(wanted, pool.map(there, wanted), strict=True):
        if not found:
            print(json.dumps(line))
print(json.dumps({"looked": len(wanted)}))
