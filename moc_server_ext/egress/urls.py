"""URLs of outbound requests, read so strictly that nobody else can read them differently.

What is not plainly ``http(s)://HOST[:PORT][/PATH][?QUERY]`` is refused: user names, control characters, backslashes,
percent-encoded hosts, and addresses in any spelling but the usual one. Whether a host may be reached is
:mod:`.rules`'s.

References
----------
RFC 3986; RFC 5890 and UTS 46 for names in other scripts; the URL Standard for hosts that end in a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote, urljoin

import idna

from ..errors import InvalidUrlError
from .addresses import Address

MAX_URL_CHARS: Final = 8192
_MAX_NAME_CHARS: Final = 253
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(#.*)?", re.S)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(:(?P<port>[0-9]{1,5}))?", re.A)
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.A)
# What the C library and URL parsers take for an address: decimal, octal or hexadecimal, in one to four parts.
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.A)
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Url:
    """Where a request goes.

    Parameters
    ----------
    host
        In lower case, in ASCII, without a final dot; an address as :mod:`ipaddress` writes it, without brackets.
    address
        The host as an address; None when it is a name.
    target
        Path and query, as the request line has them.
    """

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None

    @property
    def authority(self) -> str:
        """``HOST[:PORT]`` as the ``Host`` header and ``--allow-host`` have it: without a port that goes unsaid."""
        return authority(self.host, None if self.port == _DEFAULT_PORTS[self.scheme] else self.port)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom credentials were meant for."""
        return self.scheme, self.host, self.port

    @property
    def has_default_port(self) -> bool:
        """Whether the port is the one that the scheme implies."""
        return self.port == _DEFAULT_PORTS[self.scheme]

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    def joined(self, location: str) -> Url:
        """Read a ``Location``, which may be relative to this URL.

        Raises
        ------
        InvalidUrlError
            It is no URL that a request may go to.
        """
        # Before joining, which would drop some of these characters without a word.
        _check_characters(location)
        return parse_url(urljoin(str(self), location))


def authority(host: str, port: int | None) -> str:
    """Write a host and a port the way URLs do."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def parse_url(text: str) -> Url:
    """Read a URL.

    Raises
    ------
    InvalidUrlError
        It is not plainly an ``http`` or ``https`` URL; the message says what is wrong with it.
    """
    _check_characters(text)
    match = _URL.fullmatch(text)
    if match is None:
        raise InvalidUrlError(text, "expected http://HOST/PATH or https://HOST/PATH")
    scheme = match["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise InvalidUrlError(text, f"the scheme {scheme!r} is neither http nor https")
    if "@" in match["authority"]:
        raise InvalidUrlError(text, "a user name or password may not stand in it")
    try:
        text_of_host, port = split_authority(match["authority"])
        host, address = parse_host(text_of_host)
    except ValueError as error:
        raise InvalidUrlError(text, str(error)) from None
    target = quote(match["target"], safe=_PRINTABLE)
    port = _DEFAULT_PORTS[scheme] if port is None else port
    return Url(scheme, host, port, target if target.startswith("/") else f"/{target}", address)


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
    try:
        name = text if text.isascii() else idna.encode(text, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"the host is no name: {error}") from None
    name = name.lower().removesuffix(".")
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


def _check_characters(text: str) -> None:
    if len(text) > MAX_URL_CHARS:
        raise InvalidUrlError(text, f"it is longer than {MAX_URL_CHARS:,} characters")
    for character in text:
        if character == "\\" or not character.isprintable() or character.isspace() or 0xD800 <= ord(character) < 0xE000:
            raise InvalidUrlError(text, f"it holds {character!r}; encode it as %XX")
