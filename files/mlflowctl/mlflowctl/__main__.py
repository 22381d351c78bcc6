"""``python -m mlflowctl``."""

from mlflowctl.cli import main

main()
