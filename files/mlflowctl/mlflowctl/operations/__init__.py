"""Status, verification, notifications and cleaning up."""
