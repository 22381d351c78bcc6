"""The backend store."""
