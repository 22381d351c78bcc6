"""What every package needs: configuration, errors, processes, locks, state, systemd, and others' files."""
