"""The Zarr hierarchy of a server, by key."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from ..errors import InvalidInputError
from .noun import Noun, range_headers

_ABSENT = 404
_RANGE_NOT_SATISFIABLE = 416


class HttpHierarchy(Noun):
    """See :class:`~..abc.Hierarchy`."""

    def list(self, prefix: str = "", *, limit: int = 1000, after: str | None = None) -> Sequence[str]:
        """List keys in bytewise order."""
        query = [("prefix", prefix), ("limit", str(limit))]
        if after is not None:
            query.append(("after", after))
        keys: Sequence[str] = self._get("zarr", lambda body: [str(key) for key in body["keys"]], query)
        return keys

    def size(self, key: str) -> int | None:
        """Tell the size of a value."""
        response = self._transport.request("HEAD", _path(key), expected=[_ABSENT])
        return None if response.status_code == _ABSENT else int(response.headers["content-length"])

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read bytes ``[start, stop)`` of a value."""
        if start < 0 or (stop is not None and stop < 0):
            raise InvalidInputError(f"A range of bytes is counted from the start: [{start}, {stop}) is none.")
        if stop is not None and stop <= start:
            return None if self.size(key) is None else b""
        response = self._transport.request(
            "GET", _path(key), headers=range_headers(start, stop), expected=[_ABSENT, _RANGE_NOT_SATISFIABLE]
        )
        if response.status_code == _ABSENT:
            return None
        return b"" if response.status_code == _RANGE_NOT_SATISFIABLE else bytes(response.content)

    def read_whole(self, key: str) -> bytes | None:
        """Read a value."""
        return self.read(key)


def _path(key: str) -> str:
    # What is percent-encoded in a key is encoded once more in an address.
    return f"zarr/{quote(key, safe='/')}"
