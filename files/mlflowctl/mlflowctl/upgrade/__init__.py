"""Test another release before an upgrade."""
