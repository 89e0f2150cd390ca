"""`hsm sync verify`: both ends compared by checksum."""
