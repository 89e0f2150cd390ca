"""Reachability of machines: addresses, services, logins, commands."""
