"""The database: its schema, indexes, statistics and migrations."""
