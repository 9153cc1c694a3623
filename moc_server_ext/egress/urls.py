"""URLs of outbound requests, read so strictly that nobody else can read them differently.

What is not plainly ``http(s)://HOST[:PORT][/PATH][?QUERY]`` is refused: user names, control characters, backslashes,
percent-encoded hosts, and addresses in any spelling but the usual one. What a host is, is
:mod:`~..model.hosts`'s; whether it may be reached, :mod:`.rules`'s.

References
----------
RFC 3986.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urljoin

from ..errors import InvalidUrlError
from ..model.hosts import Address, authority, parse_host, split_authority

MAX_URL_CHARS: Final = 8192
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(#.*)?", re.S)
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
        try:
            joined = urljoin(str(self), location)
        except ValueError as error:
            raise InvalidUrlError(location, f"it is malformed ({error})") from None
        return parse_url(joined)


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


def _check_characters(text: str) -> None:
    if len(text) > MAX_URL_CHARS:
        raise InvalidUrlError(text, f"it is longer than {MAX_URL_CHARS:,} characters")
    for character in text:
        if character == "\\" or not character.isprintable() or character.isspace() or 0xD800 <= ord(character) < 0xE000:
            raise InvalidUrlError(text, f"it holds {character!r}; encode it as %XX")
