"""Savings of time that may be deleted without a result changing."""
