"""PostgreSQL on this host."""
