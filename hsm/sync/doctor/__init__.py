"""`hsm sync doctor`: the checks before a first sync."""
