"""Tell somebody that a unit failed: by a program, by mail, by a webhook."""

from __future__ import annotations

import json
import socket
import urllib.request
from email.message import EmailMessage
from subprocess import run
from typing import Any

from mlflowctl.config import Config
from mlflowctl.errors import ControlError
from mlflowctl.printable import printable

SECONDS = 30


def send(config: Config, unit: str, recorded: dict[str, Any]) -> None:
    """Use every way that is set; one that fails does not stop the others.

    Raises:
        ControlError: at least one way failed; names each.
    """
    operation = unit.removeprefix(f"{config.unit}-").removesuffix(".service")
    error = printable(recorded.get(operation, {}).get("failure", {}).get("error", "see its journal"), keep="\n")
    host = socket.getfqdn()
    failed = []
    if config.notify["command"]:
        done = run([*config.notify["command"], unit, error], timeout=SECONDS, check=False)
        if done.returncode:
            failed.append(f"{config.notify['command'][0]} ended with {done.returncode}")
    if config.notify["mail"]:
        mail = EmailMessage()
        mail["To"], mail["Subject"] = config.notify["mail"], f"{unit} failed on {host}"
        mail.set_content(f"{error}\n\nSee: mlflowctl status; journalctl -u {unit}\n")
        try:
            run(["/usr/sbin/sendmail", "-t", "-i"], input=bytes(mail), timeout=SECONDS, check=True)
        except Exception as problem:
            failed.append(f"mail to {config.notify['mail']}: {problem}")
    if config.notify["url"]:
        body = json.dumps({"unit": unit, "host": host, "error": error}).encode()
        request = urllib.request.Request(config.notify["url"], body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            urllib.request.urlopen(request, timeout=SECONDS).close()  # noqa: S310
        except OSError as problem:
            failed.append(f"webhook: {problem}")
    if failed:
        raise ControlError(f"nobody may have heard that {unit} failed: {'; '.join(failed)}")
