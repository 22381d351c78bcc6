"""A day with a server: what breaks or changes, and what the client, `mlflowctl status` and the notifier say of it."""
