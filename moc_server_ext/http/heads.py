"""Reading the head of a request: what tornado's connections do, in less time for a head as it should be.

Whatever is unusual (a line that ends otherwise, a name twice, a character that may not be there) is left to tornado,
which takes or refuses it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from tornado import httputil
from tornado.http1connection import HTTP1Connection

# RFC 9110, section 5: a token, a colon, and visible characters with blanks between and around them.
_FIELD: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t -~\x80-\xff]*)")
_END: Final = re.compile(r"[\r\n]")


class RequestHeaders(httputil.HTTPHeaders):
    """Headers that are asked for many names which are not there."""

    def get(self, name: str, default: Any = None) -> Any:
        """Give a value, or `default`; tornado's mapping would raise and catch an error for each missing name."""
        return self[name] if name in self else default  # noqa: SIM401 - this is what `get` is


def parse_head(data: bytes) -> tuple[str, httputil.HTTPHeaders]:
    """Give the start line, not looked at, and the headers; tornado's error if something in it is no header."""
    line, *lines = data.decode("latin-1").split("\r\n")
    found = [match.groups() for match in map(_FIELD.fullmatch, lines[:-2]) if match is not None]
    headers = RequestHeaders()
    for name, value in found:
        headers[name] = value.strip(" \t")
    # No line has another end inside of it, none was left out, and no name came twice.
    if line and not _END.search(line) and lines[-2:] == ["", ""] and len(headers) == len(found) == len(lines) - 2:
        return line, headers
    return HTTP1Connection._parse_headers(_NOBODY, data)


# Tornado's method makes no use of the connection that it belongs to.
_NOBODY: Final[Any] = None
