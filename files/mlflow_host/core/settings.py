"""Set the environment variables that MLflow's server code reads.

``mlflow server`` passes its options to its workers in private environment variables.
We start the workers ourselves, so we set the same variables, and take their names
from MLflow: a rename in a later version then fails here.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

# Our environment file uses the documented names of `mlflow server`'s options.
# Value: the name in mlflow.server.constants that holds the private variable.
SERVER_CONSTANTS = {
    "MLFLOW_BACKEND_STORE_URI": "BACKEND_STORE_URI_ENV_VAR",
    "MLFLOW_REGISTRY_STORE_URI": "REGISTRY_STORE_URI_ENV_VAR",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT": "ARTIFACT_ROOT_ENV_VAR",
    "MLFLOW_ARTIFACTS_DESTINATION": "ARTIFACTS_DESTINATION_ENV_VAR",
    "MLFLOW_SERVE_ARTIFACTS": "SERVE_ARTIFACTS_ENV_VAR",
}

# Credential file of the unit -> environment variable of MLflow.
CREDENTIALS = {
    "kek_passphrase": "MLFLOW_CRYPTO_KEK_PASSPHRASE",
    "webhook_key": "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
    "flask_key": "MLFLOW_FLASK_SERVER_SECRET_KEY",
}


class SettingsError(RuntimeError):
    """A setting is missing or the installed MLflow does not know it."""


def server_constants() -> ModuleType:
    """Load ``mlflow.server.constants`` without importing ``mlflow.server``.

    Importing the package builds the Flask application, which reads the very
    environment that is still to be set.

    Raises:
        SettingsError: MLflow is not installed or has no such module.
    """
    package = importlib.util.find_spec("mlflow")
    if package is None or not package.submodule_search_locations:
        raise SettingsError("MLflow is not installed in this virtualenv")
    path = Path(package.submodule_search_locations[0]) / "server" / "constants.py"
    spec = importlib.util.spec_from_file_location("mlflow_server_constants", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SettingsError(f"this MLflow has no {path}: its server settings have moved")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def apply() -> None:
    """Set MLflow's private variables and the secrets in this process's environment.

    The secrets come from the unit's credentials directory and so appear
    neither in ``ps`` nor in the unit's environment.

    Raises:
        SettingsError: a setting or credential is missing, or MLflow has
            renamed a constant.
    """
    constants = server_constants()
    for name, constant in SERVER_CONSTANTS.items():
        private = getattr(constants, constant, None)
        if not isinstance(private, str):
            raise SettingsError(f"this MLflow has no mlflow.server.constants.{constant}")
        os.environ[private] = required(name)

    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory is None:
        raise SettingsError("CREDENTIALS_DIRECTORY is not set: start this by its systemd unit")
    for credential, variable in CREDENTIALS.items():
        path = Path(directory) / credential
        if not path.is_file():
            raise SettingsError(f"the unit has no credential {credential}")
        os.environ[variable] = path.read_text().strip()


def required(name: str) -> str:
    """The value of environment variable ``name``.

    Raises:
        SettingsError: it is unset or empty.
    """
    value = os.environ.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set: is the unit's EnvironmentFile in place?")
    return value


def request_limit() -> int:
    """Maximum size of a request that is not an artifact, in bytes.

    Raises:
        SettingsError: the setting is missing.
    """
    return int(required("MLFLOW_BULK_REQUEST_LIMIT_MIB")) << 20


def least_rate() -> int:
    """Minimum rate of a client's transfers, in bytes per second.

    Raises:
        SettingsError: the setting is missing.
    """
    return int(required("MLFLOW_TRANSFER_LEAST_RATE_KIB")) << 10
