"""All patches fit the installed release, and each detects a change of its targets."""

from __future__ import annotations

import json
from typing import Any

# Each target of each patch is removed, then replaced, in a separate process with the release's MLflow. Prints which
# patches did not detect it, which do not fit the release, and what is replaced with all patches and with none.
LOOK = """
import json, logging, os, sys
from mlflow_host.patches import registry
from mlflow_host.core.known import resolve

import mlflow.server

def another(*given, **named):
    return None

every = registry.all_patches().values()
fits, blind, targets = registry.misfits(every), [], 0
for patch in every:
    for target in patch.replaces:
        module, _, names = target.partition(":")
        *outer, name = names.split(".")
        owner = resolve(module + ":" + ".".join(outer)) if outer else sys.modules[module]
        # Inherited ones can only be replaced.
        inherited = name not in vars(owner)
        kept = getattr(owner, name) if inherited else vars(owner)[name]
        targets += 1
        try:
            setattr(owner, name, another)
            if patch.name not in registry.misfits([patch]):
                blind.append(target + " changed")
            if not inherited:
                delattr(owner, name)
                if patch.name not in registry.misfits([patch]):
                    blind.append(target + " gone")
        finally:
            setattr(owner, name, kept)
again = registry.misfits(every)
looked = ["mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.create_run", "mlflow.server.handlers:message_to_json"]
before = list(map(resolve, looked))
os.environ.pop("RUNTIME_DIRECTORY", None)
os.environ[registry.SETTING] = "none"
kept_on = sorted(registry.apply("rest"))
none = [resolve(name) is original for name, original in zip(looked, before)][0]
print(json.dumps({"fits": fits, "blind": blind, "targets": targets, "again": again, "kept_on": kept_on, "none": none}))
"""


def test_all_fit_and_none_is_blind(in_mlflow: Any) -> None:
    """With `mlflow_patches: none` MLflow's own functions are used, and safety patches are on."""
    found = in_mlflow(LOOK)
    assert found["fits"] == found["again"] == {}
    assert found["blind"] == []
    assert found["targets"] > 18
    assert found["kept_on"] == ["confine", "subjects"]
    assert found["none"]


def test_the_running_server_has_all(server: Any, host: Any) -> None:
    """It reports so to `mlflowctl status`."""
    assert json.loads(host.file(f"/run/{server.unit}-service/patches.json").content_string) == {}
