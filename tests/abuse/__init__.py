"""What hostile clients, rows, names and accounts do to a running server, and what an honest client feels of it.

``python -m tests.abuse`` runs it against one server; tests/host/test_abuse.py runs a short form, `make soak` a long one.
"""
