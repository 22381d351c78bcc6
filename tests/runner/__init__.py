"""The test runner: jobs from the scenarios' descriptions, distributed over the machine's processors, longest first."""
