"""Tasks of a sweep, and the words of their commands. Pure."""
