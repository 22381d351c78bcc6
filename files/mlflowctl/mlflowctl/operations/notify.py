"""Notify that a unit failed, or that the failure is over: by a program, by mail, by a webhook, in the journal."""

from __future__ import annotations

import json
import socket
import urllib.request
from dataclasses import dataclass
from email.message import EmailMessage
from subprocess import run

from mlflowctl.core.config import Notify
from mlflowctl.core.errors import ControlError
from mlflowctl.core.printable import printable
from mlflowctl.core.progress import Log

SECONDS = 30
JOURNAL = "journal"


@dataclass(frozen=True)
class Message:
    """A notification.

    Attributes:
        unit: the unit, or the short name of what has no unit.
        text: what is wrong.
        over: whether the problem is over.
    """

    unit: str
    text: str
    over: bool = False


def channels(notify: Notify) -> list[str]:
    """The channels that are configured; the journal always is one."""
    return [JOURNAL, *(channel for channel in ("command", "mail", "url") if getattr(notify, channel))]


def send(notify: Notify, channel: str, message: Message, log: Log) -> None:
    """Send a notification by one channel.

    Raises:
        ControlError: it may not have been delivered.
    """
    text = printable(message.text, keep="\n")
    if channel == JOURNAL:
        log(f"{message.unit}: {text}")
    elif channel == "command":
        program = [*notify.command, message.unit, text]
        if code := run(program, timeout=SECONDS, check=False).returncode:
            raise ControlError(f"{program[0]} ended with {code}")
    elif channel == "mail":
        _mail(notify.mail, message, text)
    else:
        state = "over" if message.over else "failed"
        body = json.dumps({"unit": message.unit, "host": socket.getfqdn(), "error": text, "state": state}).encode()
        request = urllib.request.Request(notify.url, body, {"Content-Type": "application/json"})  # noqa: S310
        urllib.request.urlopen(request, timeout=SECONDS).close()  # noqa: S310


def _mail(to: str, message: Message, text: str) -> None:
    mail = EmailMessage()
    outcome = "is over" if message.over else "failed"
    mail["To"], mail["Subject"] = to, f"{message.unit} {outcome} on {socket.getfqdn()}"
    mail.set_content(f"{text}\n\nSee: mlflowctl status; journalctl -u {message.unit}\n")
    run(["/usr/sbin/sendmail", "-t", "-i"], input=bytes(mail), timeout=SECONDS, check=True)
