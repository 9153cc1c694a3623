"""The hosts that a function was allowed to reach (``--allow-host HOST[:PORT]``), and the questions asked of them."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import HostNotAllowedError
from ..model.hosts import Address, authority, parse_host, split_authority
from .addresses import refused_kind
from .urls import Url


class AllowedHosts:
    """An allow-list. What is not in it is refused.

    An entry without a port allows the ports that ``http`` and ``https`` imply, 80 and 443. An address in the list
    allows itself and no other spelling; it is also what lets a name lead to an address that is not public.

    Parameters
    ----------
    function
        Whose list it is; refusals name it.
    entries
        ``HOST[:PORT]``; one that is no host allows nothing.
    """

    __slots__ = ("_function", "_hosts")

    def __init__(self, function: str, entries: Iterable[str]) -> None:
        self._function = function
        self._hosts = {parsed for each in entries if (parsed := _parse_entry(each)) is not None}

    def require(self, url: Url) -> None:
        """Refuse a URL whose host is not in the list; nothing has been looked up by then.

        Raises
        ------
        HostNotAllowedError
            It is not in the list. The message says how to allow it, and nothing about what is there.
        """
        if not self._holds(url.host, url):
            raise HostNotAllowedError(self._function, url.authority)

    def require_address(self, url: Url, address: Address) -> None:
        """Refuse an address that the URL's host leads to if it is not public and not in the list itself.

        Raises
        ------
        HostNotAllowedError
            It is neither. Nothing was sent to it.
        """
        kind = refused_kind(address)
        if kind is not None and not self._holds(str(address), url):
            needed = authority(str(address), None if url.has_default_port else url.port)
            raise HostNotAllowedError(
                self._function, needed, because=f"{url.host!r} leads there, and the address is {kind}"
            )

    def _holds(self, host: str, url: Url) -> bool:
        return (host, url.port) in self._hosts or (url.has_default_port and (host, None) in self._hosts)


def _parse_entry(entry: str) -> tuple[str, int | None] | None:
    try:
        host, port = split_authority(entry)
        return parse_host(host)[0], port
    except ValueError:
        return None
