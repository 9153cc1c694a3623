"""The one connection that a shell keeps: made when first asked for, shared by the magics and ``connect()``.

A storage directory has one owner at a time, so two connections of one notebook that both ran embedded would lock each
other out; that is why they share one.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moc_server_ext.abc import Platform
    from moc_server_ext.client.client import Client

_ATTRIBUTE = "moc_session"


class Session:
    """A shell's connection to the platform. Safe to use from several threads."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._lock = threading.Lock()
        # Whether a person named the server; it is then never replaced.
        self._named = False

    @property
    def client(self) -> Client:
        """The client, connected when first asked for; one that was closed is replaced.

        An embedded one is announced in one line on stderr: what is stored is then this kernel's until it ends, or until
        a server takes it over.
        """
        with self._lock:
            if self._client is None or self._client.closed:
                self._client = self._connected()
            return self._client

    def look_again(self) -> Client:
        """Give the client; when its server is gone, look for the platform anew, as a person asks by ``connect()``.

        Only here can a client of a server that is gone give way to the storage opened in this process. A server that
        was named with :meth:`connect` stays.
        """
        from moc_server_ext.errors import ServerUnreachableError

        client = self.client
        if self._named:
            return client
        try:
            client.platform.status()
        except ServerUnreachableError:
            pass
        else:
            return client
        with self._lock:
            if self._client is client:
                self._client = self._connected()
                client.close()
            return self._client or client

    def _connected(self) -> Client:
        from moc_server_ext.client import connect

        client = connect()
        self._named = False
        if client.origin.startswith("embedded"):
            print(f"moc: no server found; {client.origin}", file=sys.stderr)
        return client

    def connect(self, url: str, token: str | None) -> Client:
        """Turn to the server at `url`.

        Raises
        ------
        ServerUnreachableError, UnauthorizedError
            The server does not answer, or not to this token. The session stays with the one before.
        """
        from moc_server_ext.client import connect

        client = connect(url, token)
        try:
            client.platform.status()
        except BaseException:
            client.close()
            raise
        with self._lock:
            before, self._client = self._client, client
            self._named = True
        if before is not None:
            before.close()
        return client

    @contextmanager
    def glance(self, seconds: float) -> Iterator[Platform | None]:
        """Give the platform to somebody who looks for a moment and must neither wait nor change anything.

        Where nothing is connected yet, a server is asked over a connection that ends with the ``with``; None where
        only opening the storage would help. A request that a server does not answer after about `seconds` fails.
        """
        from moc_server_ext.client.discovery import find_server
        from moc_server_ext.client.http import hurried

        client = self._client  # Without the lock: whoever holds it may be connecting, which takes longer.
        if client is not None and not client.closed:
            yield hurried(client.platform, seconds)
            return
        server = find_server(seconds=seconds)
        if server is None:
            yield None
            return
        with server:
            yield hurried(server.platform, seconds)

    def close(self) -> None:
        """Let go of the connection; idempotent. The next use connects again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def running_shell() -> Any | None:
    """Give the IPython shell that this code runs in, or None; never imports IPython."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def session_of(shell: Any) -> Session:
    """Give the session of `shell`, made when first asked for and closed when the process ends."""
    session = getattr(shell, _ATTRIBUTE, None)
    if not isinstance(session, Session):
        session = Session()
        setattr(shell, _ATTRIBUTE, session)
        atexit.register(session.close)
    return session
