"""The commands for upgrades of MLflow."""

from __future__ import annotations

import click

from mlflowctl.cli import operation
from mlflowctl.cli.console import Output, command
from mlflowctl.core.config import Config
from mlflowctl.upgrade import check as checks

# Its commands become commands of mlflowctl.
topic = click.Group()


@command(topic, example="mlflowctl upgrade-check 3.18.0", name="upgrade-check")
@click.argument("version", help="Version of MLflow. It must be installed on this host.")
def upgrade_check(config: Config, output: Output, version: str) -> int:
    """Test the migrations of another MLflow version on a copy of the database.

    Use it before an upgrade; playbooks/upgrade_check.yml installs the version and calls it. The server stays
    available.
    """
    return operation.run(config, output, "upgrade-check", [version], lambda: checks.run(config, version, output.log))
