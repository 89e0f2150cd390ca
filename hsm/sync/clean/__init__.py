"""`hsm sync clean`: freeing this machine's disk of what targets hold."""
