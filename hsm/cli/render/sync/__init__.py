"""Output of the commands of `hsm sync`."""
