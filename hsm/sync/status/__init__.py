"""`hsm sync status` and `hsm sync list --sweeps`."""
