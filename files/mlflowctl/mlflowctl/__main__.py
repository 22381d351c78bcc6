"""``python -m mlflowctl``."""

from mlflowctl.cli.main import main

main(prog_name="mlflowctl")
