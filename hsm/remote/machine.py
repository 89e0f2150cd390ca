"""Marks by which a machine is known: enough to show that two hosts are different ones, as far as addresses can."""

from __future__ import annotations

import ipaddress
import socket

THIS = ""
"""This machine; no host has this name."""


def find_machine(host: str) -> frozenset[str]:
    """Find what a machine is known by: its addresses, and `THIS` where one of them leads to this machine.

    A loopback address counts as this machine, though it may be the end of a tunnel: then two machines seem to be one.

    Args:
        host: A name or address; empty for this machine.

    Returns:
        Nothing where the name cannot be looked up here, such as one that only a jump host knows.
    """
    if not host:
        return frozenset({THIS})
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    addresses = {str(address[0]).partition("%")[0] for *_, address in found}
    return frozenset(addresses | ({THIS} if any(map(_is_here, addresses)) else set()))


def _is_here(address: str) -> bool:
    """Tell whether an address is one of this machine: only to such a one can a socket be bound. Sends nothing."""
    try:
        if ipaddress.ip_address(address).is_loopback:
            return True
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except (OSError, ValueError):
        return False
    return True
