"""Commands of `hsm sync`."""
