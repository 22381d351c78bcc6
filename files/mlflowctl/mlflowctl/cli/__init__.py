"""The commands, by topic, and what they print."""
