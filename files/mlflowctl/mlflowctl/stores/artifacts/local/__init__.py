"""A volume of this host."""
