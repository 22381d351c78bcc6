"""The artifact volume and what lies on it."""
