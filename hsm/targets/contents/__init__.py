"""Whole files at a target: their checksums, and a flush to its disk."""
