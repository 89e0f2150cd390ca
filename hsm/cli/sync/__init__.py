"""The commands of `hsm sync`."""
