"""The machine's network, as far as outbound requests use it: looking names up, connecting to addresses, TLS.

The one seam for tests, which put a resolver of their own here. What may be connected to is decided before
(:mod:`.rules`): :meth:`Network.connect` takes an address and never looks a name up.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from ..model.hosts import Address
from .addresses import as_address

READ_BYTES: Final = 64 << 10


class Network:
    """How requests leave this machine. Safe to share between event loops and threads.

    Neither proxies nor credentials are taken from the environment. Certificates are checked against the system's
    authorities (OpenSSL's ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` are heeded).
    """

    def __init__(self) -> None:
        self._tls: ssl.SSLContext | None = None

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Look a name up, outside of the event loop's thread.

        Raises
        ------
        OSError
            It has no address.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
        addresses = [as_address(str(sockaddr[0])) for *_, sockaddr in found]
        return list(dict.fromkeys(each for each in addresses if each is not None))

    async def connect(
        self, address: Address, port: int, server_name: str | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to an address; with a `server_name`, by TLS to the server that proves to have it.

        Raises
        ------
        OSError
            Nobody listens there, or the TLS handshake failed (``ssl.SSLError``).
        """
        tls = None if server_name is None else await self.tls()
        return await asyncio.open_connection(
            str(address), port, limit=READ_BYTES, ssl=tls, server_hostname=server_name if tls else None
        )

    async def tls(self) -> ssl.SSLContext:
        """Give the trust in servers; read from disk when first asked for, which takes tens of milliseconds."""
        if self._tls is None:
            tls = await asyncio.to_thread(ssl.create_default_context)
            tls.set_alpn_protocols(["http/1.1"])
            self._tls = tls
        return self._tls
