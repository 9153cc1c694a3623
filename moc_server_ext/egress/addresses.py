"""Which addresses are nobody's business but the machine's own: loopback, private networks, and all that is special.

The tables are written out rather than taken from :mod:`ipaddress`, whose idea of "global" differs between Python
versions. An IPv6 address that carries an IPv4 address is judged by what it carries.

References
----------
IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 4291, 6052, 3056, 4380, 5214.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from ..model.hosts import Address

_IPV4: Final = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (carrier-grade NAT)"),
        ("127.0.0.0/8", "loopback"),
        # Azure's metadata and DNS service answers there, in the middle of public space.
        ("168.63.129.16/32", "cloud provider's"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_IPV6: Final = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("64:ff9b:1::/48", "private"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
    )
)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
_PROTOCOLS: Final = IPv6Network("2001::/23")
_GLOBAL: Final = IPv6Network("2000::/3")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
_LOW: Final = 0xFFFF_FFFF


def refused_kind(address: Address) -> str | None:
    """Say what kind of address this is that no request may go to by itself (``private``, …); None for a public one."""
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _IPV4 if address in network), None)
    # First, because :: and ::1 look like carriers of 0.0.0.0 and 0.0.0.1 too.
    for network, kind in _IPV6:
        if address in network:
            return kind
    for carried in _carried(address):
        kind_of_carried = refused_kind(carried)
        if kind_of_carried is not None:
            return f"{kind_of_carried} (IPv4 in IPv6)"
    # Translated addresses reach the public IPv4 address that they carry; so do Teredo's.
    if address in _GLOBAL and (address not in _PROTOCOLS or address in _TEREDO):
        return None
    return None if address in _MAPPED or address in _NAT64 else "reserved"


def as_address(text: str) -> Address | None:
    """Read what a resolver answered, without the interface behind ``%``; None for what is no address."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    """Give the IPv4 addresses that packets to this one may end up at."""
    number = int(address)
    if any(address in network for network in (_MAPPED, _COMPATIBLE, _TRANSLATED, _NAT64)):
        yield IPv4Address(number & _LOW)
    if address in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & _LOW)
    if address in _TEREDO:
        yield IPv4Address(number >> 64 & _LOW)
        yield IPv4Address(~number & _LOW)
    if number >> 32 & _LOW in _ISATAP:
        yield IPv4Address(number & _LOW)
