"""What another release would do to this server."""
