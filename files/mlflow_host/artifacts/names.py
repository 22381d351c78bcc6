"""A name that a file system does not take is the client's mistake, and is answered as one.

MLflow lets the operating system's error through, as a 500 in HTML, which its
client tries again. Nothing was written by then: it opens the file first.
"""

from __future__ import annotations

import errno
from typing import Any

# The name is that of a directory, lies below a file, is too long, or has bytes that no name has.
OF_NAMES = (errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ)


def refused(error: OSError) -> Any:
    """The answer to such an error.

    Raises:
        OSError: it is another one.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    if error.errno not in OF_NAMES:
        raise error
    said = MlflowException(
        f"the file system takes no artifact of that name: {error.strerror}. Choose another", INVALID_PARAMETER_VALUE
    )
    return said.serialize_as_json(), said.get_http_status_code(), {"Content-Type": "application/json"}


def apply(app: Any) -> None:
    """Let MLflow's application answer so.

    Args:
        app: Flask's.
    """
    app.register_error_handler(OSError, refused)
