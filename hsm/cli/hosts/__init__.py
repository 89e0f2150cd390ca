"""Commands of `hsm hosts`."""
