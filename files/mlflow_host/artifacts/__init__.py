"""The artifact volume and its content."""
