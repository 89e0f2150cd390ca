"""The inventory of machines: hosts.yaml, its schema and its nodes."""
