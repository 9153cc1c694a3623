"""Hosts and ports as people write them, read into one canonical form.

Used for what a function is allowed and for what a URL asks, so that the two can be compared.

References
----------
RFC 5890 and UTS 46 for names in other scripts; the URL Standard for hosts that end in a number.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

Address = IPv4Address | IPv6Address

_MAX_NAME_CHARS: Final = 253
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(:(?P<port>[0-9]{1,5}))?", re.A)
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.A)
# What the C library and URL parsers take for an address: decimal, octal or hexadecimal, in one to four parts.
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.A)


def authority(host: str, port: int | None) -> str:
    """Write a host and a port the way URLs do."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def split_authority(text: str) -> tuple[str, int | None]:
    """Take ``HOST[:PORT]`` apart; ValueError, with a clause for people, when it is none."""
    parts = _AUTHORITY.fullmatch(text)
    if parts is None:
        raise ValueError("the host and port are malformed")
    port = None if parts["port"] is None else int(parts["port"])
    if port is not None and not 0 < port < 1 << 16:
        raise ValueError(f"the port {port} is not between 1 and 65535")
    return parts["host"], port


def parse_host(text: str) -> tuple[str, Address | None]:
    """Read a host into its one canonical form, and the address if it is one.

    Raises
    ------
    ValueError
        It is no host name and no address in its usual spelling; the text is a clause for people.
    """
    if text.startswith("["):
        return _ipv6(text[1:-1])
    name = (text if text.isascii() else _to_ascii(text)).lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > _MAX_NAME_CHARS or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("the host is no name (letters, digits and hyphens, with dots between)")
    if not _NUMERIC.fullmatch(labels[-1]):
        return name, None
    try:
        address = IPv4Address(name)
    except ValueError:
        raise ValueError("the host is a number; write an address as four decimal numbers, such as 192.0.2.1") from None
    return str(address), address


def _ipv6(text: str) -> tuple[str, Address]:
    if "%" in text:
        raise ValueError("an address with a zone names an interface of this machine")
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError("the host in brackets is no IPv6 address") from None
    return str(address), address


def _to_ascii(text: str) -> str:
    # Its tables take a while to import, and few names need them.
    import idna

    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"the host is no name: {error}") from None
