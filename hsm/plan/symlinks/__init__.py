"""Symlinks of a source: which are sent as what they lead to."""
