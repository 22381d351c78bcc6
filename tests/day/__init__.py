"""A day with a server: failures and changes, and how the client, `mlflowctl status` and the notifier report them."""
