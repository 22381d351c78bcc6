"""Attack a running server by hostile clients, rows, names and accounts, and measure the effect on an honest client.

``python -m tests.abuse`` runs it against one server; tests/host/test_abuse.py runs a short form, `make soak` a long one.
"""
