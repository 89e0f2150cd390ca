"""The commands of `hsm hosts`."""
