"""Commands that run as a systemd unit: inside the unit they do the work, outside of it they start the unit."""

from __future__ import annotations

from collections.abc import Callable

from mlflowctl.cli.console import Output, unexpected
from mlflowctl.core import state, units
from mlflowctl.core.config import Config
from mlflowctl.core.errors import ControlError, Refused
from mlflowctl.core.facts import Facts


def run(config: Config, output: Output, name: str, arguments: list[str], perform: Callable[[], Facts]) -> int:
    """Perform an operation inside its unit; outside of it, start the unit and follow its journal.

    Args:
        config: the instance.
        output: where the result goes.
        name: of the operation, as in the unit's name.
        arguments: with which the unit calls the command again.
        perform: the operation.

    Returns:
        The exit code.
    """
    if not units.inside(config.instance, name):
        return units.start(config.instance, name, arguments, output)
    try:
        facts, code = perform(), 0
    except Refused as error:
        facts, code = {"error": str(error)}, error.exit_code
        if not units.requested():
            # Started by a timer: nobody reads the answer, so it must not look like a success.
            code = ControlError.exit_code
            state.record(config.instance, name.replace("-", "_"), False, error=str(error))
    except ControlError as error:
        facts, code = {"error": str(error)}, error.exit_code
    except Exception as error:
        facts, code = {"error": unexpected(error)}, ControlError.exit_code
    units.leave_result(config.instance, name, facts, code)
    output.facts({"error": facts["error"]} if "error" in facts else {})
    return code
