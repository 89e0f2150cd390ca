"""Identity of this machine: the one of the inventory that it is."""

from __future__ import annotations

import ipaddress
import socket

from hsm.hosts.inventory.node import ClusterNode


def is_same_name(one: str, other: str) -> bool:
    """Tell whether two names mean one machine: equal in any case, or one of them is the other without its domain."""
    one, other = one.casefold().rstrip("."), other.casefold().rstrip(".")
    if one == other:
        return True
    # `gpu1` is `gpu1.example.org`, but `gpu1.a.org` is not `gpu1.b.org`.
    is_short = "." not in one or "." not in other
    return bool(one and other) and is_short and one.partition(".")[0] == other.partition(".")[0]


def is_local_address(address: str) -> bool:
    """Tell whether an address is one of this machine's: only at such a one a socket can be bound.

    A name is none. Nothing is sent.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # AI_NUMERICHOST: a name would be asked of a resolver, which has no time limit.
            numbers = socket.getaddrinfo(address, 0, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
            if numbers[0][4][0] in ("0.0.0.0", "::"):  # noqa: S104 - refused here, since it binds anywhere
                return False
            probe.bind(numbers[0][4])
    except (OSError, UnicodeError):
        return False
    return True


def is_loopback(address: str) -> bool:
    """Tell whether an address is one by which a machine speaks with itself; a name other than `localhost` is none."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def is_self(node: ClusterNode, *, with_loopback: bool = True) -> bool:
    """Tell whether a node is this machine: by its name, an alias, a host name or an address of its own.

    Names are compared with this machine's host name; none is looked up.

    Args:
        node: The node.
        with_loopback: Let 127.0.0.1 and the like count, which may also be the end of a tunnel to another machine.
    """
    here = socket.gethostname()
    names = (node.name, *node.aliases, *node.addresses)
    return any(is_same_name(name, here) for name in names) or any(
        is_local_address(address) and (with_loopback or not is_loopback(address)) for address in node.addresses
    )
