"""The installed release."""
