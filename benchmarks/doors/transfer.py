"""A client that uploads and downloads at once over one TLS connection, as fast as the other side lets it."""

from __future__ import annotations

import select
import ssl
import time
from dataclasses import dataclass

from .load import Target

_PART = bytes(range(256)) * 4096
_READ_BYTES = 1 << 18
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """What came of one.

    Attributes
    ----------
    received_bytes
        Of the answer, head and the framing of its parts included.
    first_byte_share
        Which share of the upload was sent when the first byte of the answer came.
    """

    sent_bytes: int
    received_bytes: int
    first_byte_share: float
    seconds: float

    @property
    def rate(self) -> float:
        """Uploaded megabytes a second, while as many came back."""
        return self.sent_bytes / self.seconds / 1e6


def transfer(target: Target, path: str, size: int) -> Transfer:
    """Send `size` bytes to `path` and read the answer while they are sent.

    Raises
    ------
    RuntimeError
        The answer is not 200 or ends early; or nothing moved for a minute.
    """
    with target.connect(target.context()) as connection:
        head = target.request("POST", path, Connection="close").replace(
            b"Content-Length: 0", b"Content-Length: %d" % size
        )
        connection.sendall(head)
        connection.setblocking(False)
        return _exchange(connection, size)


def _exchange(connection: ssl.SSLSocket, size: int) -> Transfer:
    begin = time.perf_counter()
    sent = received = 0
    first_share = 1.0
    head = b""
    part = memoryview(_PART)
    while True:
        writable = [connection] if sent < size else []
        readable, can_write, _ = select.select([connection], writable, [], _PATIENCE_SECONDS)
        if not readable and not can_write:
            raise RuntimeError(f"nothing moved for {_PATIENCE_SECONDS:.0f} s after {sent:,} and {received:,} bytes")
        if can_write:
            try:
                # Always the same bytes at the same place: TLS wants a send that was put off to be repeated as it was.
                offset = sent % len(_PART)
                sent += connection.send(part[offset : min(offset + (1 << 16), len(_PART), offset + size - sent)])
            except ssl.SSLWantWriteError:
                pass
        if readable:
            try:
                data = connection.recv(_READ_BYTES)
            except ssl.SSLWantReadError:
                continue
            if not data:
                break
            if not received:
                first_share = sent / size
                head = data[:1000]
            received += len(data)
    if not head.startswith(b"HTTP/1.1 200") or received < size:
        raise RuntimeError(f"sent {sent:,} bytes, got {received:,}: {head.decode(errors='replace')}")
    return Transfer(sent, received, first_share, time.perf_counter() - begin)
