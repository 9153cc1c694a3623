"""An embedded owner's own gateway: the API on a loopback port, served by a daemon thread with an event loop of its own.

Owns the thread. The platform behind it, its announcement, and when it ends are its maker's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import ConflictError, HandedOverError
from ..storage.endpoint import Endpoint
from .gateway import Gateway
from .handler import Api
from .tls import ensure_certificate
from .workers import Workers

if TYPE_CHECKING:
    from ..storage import Storage
    from .messages import ServedPlatform

_STORAGE_THREADS = 4
_MAX_BODY_BYTES = 256 << 20
# For the answer that tells the new owner, and for those whose requests came too late and are told to ask there.
_LINGER_SECONDS = 0.5
_END_SECONDS = 5.0


class EmbeddedGateway:
    """Serves a storage that a kernel or a program has opened, from the making of the object to :meth:`stop`.

    Parameters
    ----------
    platform
        What is served.
    storage
        Its token and certificate are the gateway's.
    hand_over
        Closes the storage for the process whose id it is given, or raises. After it the gateway ends by itself.

    Attributes
    ----------
    endpoint
        How this gateway is reached.

    Raises
    ------
    AddressInUseError, InvalidInputError
        No loopback port is to be had.
    ReadOnlyStorageError
        There is no certificate, and none can be written. Nothing is left running.
    """

    def __init__(self, platform: ServedPlatform, storage: Storage, *, hand_over: Callable[[int | None], None]) -> None:
        self._hand_over_storage = hand_over
        self._workers = Workers(_STORAGE_THREADS)
        self._gateway = Gateway(
            Api(platform, self._workers, _MAX_BODY_BYTES, hand_over=self._hand_over),
            token=storage.token,
            accepted=storage.accepted_tokens(),
            certificate=ensure_certificate(storage.path / "tls"),
            host="127.0.0.1",
            port=0,
        )
        self.endpoint = Endpoint(
            pid=os.getpid(),
            url=self._gateway.url,
            jupyter_url=None,
            token=storage.token,
            ca_file=str(self._gateway.ca_file),
            instance_id=storage.instance_id,
            embedded=True,
        )
        self._loop = asyncio.new_event_loop()
        self._ending: asyncio.Future[float] = self._loop.create_future()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="moc_gateway", daemon=True)
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """End all connections; idempotent, waits for the thread."""
        self._end(0.0)
        self._thread.join(_END_SECONDS)

    def _hand_over(self, heir: int | None) -> None:
        """Give the storage away; called on a worker thread by the operation that was asked for it."""
        try:
            self._hand_over_storage(heir)
        except (ConflictError, HandedOverError):
            raise  # It stays, and so does the gateway.
        except BaseException:
            self._end(_LINGER_SECONDS)
            raise
        self._end(_LINGER_SECONDS)

    def _end(self, linger_seconds: float) -> None:
        def end() -> None:
            if not self._ending.done():
                self._ending.set_result(linger_seconds)

        # The loop closes itself at its end, which may be now.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(end)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._workers.close()
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _serve(self) -> None:
        self._gateway.start()
        self._started.set()
        await asyncio.sleep(await self._ending)
        await self._gateway.stop()
