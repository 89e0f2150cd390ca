"""Databases of scores, shared between machines."""
