"""Kill ansible-playbook, without warning, when a task begins: the n-th, or one whose name contains a text (KILL_AT)."""

from __future__ import annotations

import os
import signal
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: kill_at
    type: aggregate
    short_description: kill the play at a task
    description: For tests that prove that a killed play converges when run again.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """Counts tasks and handlers; sends SIGKILL to the whole process group at the one of KILL_AT."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_at"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._kill_at = os.environ.get("KILL_AT", "0")

    def _begin(self, task: Any) -> None:
        self._count += 1
        self._display.display(f"TASK-NUMBER {self._count} {task.get_name()}")
        wanted = self._kill_at
        if self._count == int(wanted) if wanted.isdecimal() else wanted in task.get_name():
            os.killpg(0, signal.SIGKILL)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins."""
        self._begin(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """A handler begins."""
        self._begin(task)
