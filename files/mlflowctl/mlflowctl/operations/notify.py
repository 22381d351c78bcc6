"""Tell somebody that a unit failed, or that it is over: by a program, by mail, by a webhook, in the journal."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from subprocess import run

from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError
from mlflowctl.core.printable import printable

SECONDS = 30
JOURNAL = "journal"


@dataclass(frozen=True)
class Message:
    """What is told.

    Attributes:
        unit: the unit, or the short name of what has no unit.
        words: what is wrong.
        over: it is over.
    """

    unit: str
    words: str
    over: bool = False


def ways(config: Config) -> list[str]:
    """The ways that are set; the journal always is one."""
    return [JOURNAL, *(way for way in ("command", "mail", "url") if config.notify[way])]


def send(config: Config, way: str, message: Message, say: Callable[[str], None]) -> None:
    """Tell it one way.

    Raises:
        ControlError: nobody may have heard.
    """
    words = printable(message.words, keep="\n")
    if way == JOURNAL:
        say(f"{message.unit}: {words}")
    elif way == "command":
        program = [*config.notify["command"], message.unit, words]
        if code := run(program, timeout=SECONDS, check=False).returncode:
            raise ControlError(f"{program[0]} ended with {code}")
    elif way == "mail":
        _mail(config.notify["mail"], message, words)
    else:
        told = "over" if message.over else "failed"
        body = json.dumps({"unit": message.unit, "host": socket.getfqdn(), "error": words, "state": told}).encode()
        request = urllib.request.Request(config.notify["url"], body, {"Content-Type": "application/json"})  # noqa: S310
        urllib.request.urlopen(request, timeout=SECONDS).close()  # noqa: S310


def _mail(to: str, message: Message, words: str) -> None:
    mail = EmailMessage()
    what = "is over" if message.over else "failed"
    mail["To"], mail["Subject"] = to, f"{message.unit} {what} on {socket.getfqdn()}"
    mail.set_content(f"{words}\n\nSee: mlflowctl status; journalctl -u {message.unit}\n")
    run(["/usr/sbin/sendmail", "-t", "-i"], input=bytes(mail), timeout=SECONDS, check=True)
