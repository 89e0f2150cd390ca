"""A target: the connection to it, its lock, and its contents."""
