"""What `tests/run` runs: jobs made of the scenarios' descriptions, over the machine's processors, longest first."""
