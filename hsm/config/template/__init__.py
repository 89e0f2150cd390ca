"""Configurations that `hsm sync init` writes."""
