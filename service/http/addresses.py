"""Whose request it is, as far as an address can tell: brought to one form first, since limits compare it."""

import ipaddress

from sanic import Request

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
SITE_BITS = 64
"""Of an IPv6 address what one site has: whoever is counted by less has 2^64 more tries."""


def client_address(request: Request) -> str:
    """The address that the trusted proxies vouch for: so many from the right, over all lines of `X-Forwarded-For`.

    What stands before it was sent by the client. The same goes for all of `Forwarded`, which is not read at all: a
    proxy that does not know it passes on whatever it gets. Without an address there, the peer's counts.
    """
    count = request.app.config.PROXIES_COUNT or 0
    hops = [hop for line in request.headers.getall("x-forwarded-for", []) for hop in line.split(",") if hop.strip()]
    vouched = canonical_address(hops[-count]) if 0 < count <= len(hops) else None
    return vouched or canonical_address(request.ip) or request.ip


def canonical_address(text: str) -> str | None:
    """An IPv4 address, or the /64 of an IPv6 one, without port, brackets and zone; None if it is no address."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address in NAT64:
        return str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return str(ipaddress.ip_network((address, SITE_BITS), strict=False))
