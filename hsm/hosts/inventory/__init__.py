"""Inventory of machines: hosts.yaml, its models and its nodes."""
