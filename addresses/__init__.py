"""Which IP addresses lead to the internet, and which to this machine or a private network."""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


def is_public(text: str) -> bool:
    """Tell whether an IP address is one of the internet.

    Raises:
        ValueError: it is not an IP address.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast


def is_named_private(host: str) -> bool:
    """Tell whether a host is written as an address that is not public; of a name, only a look-up tells."""
    try:
        return not is_public(host)
    except ValueError:
        return False
