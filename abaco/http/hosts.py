"""Whom a request is meant for: the names of the gateway, and what a request's head says.

A page of another site can make a browser send requests here under the name of that site (DNS rebinding).
The browser then takes the answers for the site's own. So a request for a name that the gateway is not
known by is refused.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from abaco.settings import Settings

ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
_HERE = ("localhost", "127.0.0.1", "::1")
_MAX_PORTS = 65_535
_AUTHORITY = re.compile(
    r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]*))(?::(?P<port>[0-9]{0,5}))?"
)
_WITHOUT_HOST = ("0.9", "1.0")


class Misdirected(Exception):
    """A request cannot be meant for this gateway, or does not say clearly whom it is meant for.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def names_of(settings: Settings) -> frozenset[str]:
    """Return the names that a gateway is known by, besides the address to which a client connects."""
    return frozenset(canonical(name) for name in _names(settings))


def _names(settings: Settings) -> Iterator[str]:
    yield from _HERE
    yield from settings.hosts
    if settings.host in ANYWHERE:
        yield socket.gethostname()
    else:
        yield settings.host
    for url in (settings.public_url, *(each.public_url for each in settings.tenants.values())):
        if url is not None:
            yield urlsplit(url).hostname or ""


@functools.lru_cache(maxsize=1024)
def canonical(name: str) -> str:
    """Return the one form of a DNS name or an IP address, without brackets."""
    plain = name.lower().removesuffix(".")
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(plain))
    return plain


@functools.lru_cache(maxsize=1024)
def owner_of(address: str) -> str:
    """Return what stands for whoever has an address.

    One has a whole network of IPv6, of 64 bits; and whoever is on this machine all of its loopback
    addresses, of which there are millions.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.is_loopback:
        return _HERE[0]
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address


def host_of(version: str, headers: Sequence[tuple[bytes, bytes]], authority: str) -> str | None:
    """Return the name that a request is meant for; None where it says none and need not.

    Args:
        version: of HTTP, such as 1.1.
        headers: with names in lower case.
        authority: of the request's target, empty where that is a path.

    Raises:
        Misdirected: it names none, several, or something that cannot be a name.
    """
    given = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(given) > 1:
        message = "a request has one Host header, not several"
        raise Misdirected(400, message)
    if not given:
        if version in _WITHOUT_HOST:
            return None
        message = "a request of HTTP/1.1 needs a Host header"
        raise Misdirected(400, message)
    if authority and authority.lower() != given[0].lower():
        message = "the Host header and the target of the request name different hosts"
        raise Misdirected(400, message)
    parsed = _AUTHORITY.fullmatch(given[0])
    if parsed is None or int(parsed["port"] or 0) > _MAX_PORTS:
        message = "the Host header is not HOST or HOST:PORT"
        raise Misdirected(400, message)
    return canonical(parsed["address"] or parsed["name"])
