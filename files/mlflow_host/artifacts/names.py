"""Answer invalid artifact names as client errors.

MLflow answers the operating system's error with 500 in HTML, which its client
retries. Nothing has been written then, because the file is opened first.
"""

from __future__ import annotations

import errno
from typing import Any

# The name belongs to a directory, is below a file, is too long, or contains invalid bytes.
NAME_ERRORS = (errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ)


def refused(error: OSError) -> Any:
    """The answer to such an error.

    Raises:
        OSError: it is another error.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    if error.errno not in NAME_ERRORS:
        raise error
    answer = MlflowException(
        f"the file system takes no artifact of that name: {error.strerror}. Choose another", INVALID_PARAMETER_VALUE
    )
    return answer.serialize_as_json(), answer.get_http_status_code(), {"Content-Type": "application/json"}


def apply(app: Any) -> None:
    """Register the handler in MLflow's application.

    Args:
        app: Flask's.
    """
    app.register_error_handler(OSError, refused)
