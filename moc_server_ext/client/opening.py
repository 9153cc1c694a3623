"""Opening the storage in this process: waiting for its turn, serving it to others, taking it over from an owner.

What a process does with a storage that it has opened, and lost to another, is in :mod:`.owned`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import HandedOverError, LockedStorageError, MocError, ServerUnreachableError
from ..storage.endpoint import ENDPOINT_FILE, Endpoint, is_alive, read_endpoint, write_endpoint
from ..storage.ownership import owner_pid
from .client import Client
from .following import POLL_SECONDS, address_of, follow
from .http import HttpPlatform
from .owned import OwnedPlatform
from .transport import Transport

if TYPE_CHECKING:
    from ..cluster import Cluster

T = TypeVar("T")

# What one command holds the lock for is mostly far less.
TURN_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.01
_PAUSE_SECONDS = 0.2
_HANDOVER_SECONDS = 20.0


def open_in_turn(open: Callable[[], T], join: Callable[[], T | None], seconds: float = TURN_SECONDS) -> T:
    """Open the storage, or join its owner, whichever is possible first.

    Whoever holds it and serves nobody may be a command that ends soon, or an owner that is about to announce itself.

    Raises
    ------
    LockedStorageError
        Its owner serves nobody, and keeps it for longer than `seconds`.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return open()
        except LockedStorageError:
            joined = join()
            if joined is not None:
                return joined
            if time.monotonic() > deadline:
                raise
        # At random, so that those who wait do not all come back at once.
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - no secret
        pause = min(2 * pause, _PAUSE_SECONDS)


def open_or_join(directory: Path, join: Callable[[], Client | None], *, serve: bool) -> Client:
    """Open the storage `directory` in this process, or become a client of the one who was faster.

    Parameters
    ----------
    join
        Gives a client of the owner, if it can be reached.
    serve
        Whether others can use it meanwhile, and a server that starts may take it over.

    Raises
    ------
    LockedStorageError
        Its owner serves nobody.
    """
    from ..cluster import Cluster

    def open_here() -> Client:
        cluster = Cluster.open(directory)
        return Client(_served(cluster)) if serve else Client(cluster, origin=f"embedded on {directory}")

    return open_in_turn(open_here, join)


def _served(cluster: Cluster) -> OwnedPlatform:
    from ..http.embedded import EmbeddedGateway

    storage = cluster.storage

    def find_owner(heir: int | None, seconds: float) -> HttpPlatform:
        return find_new_owner(storage.path, storage.instance_id, heir, seconds)

    platform = OwnedPlatform(cluster, find_owner)
    try:
        gateway = EmbeddedGateway(platform.served, storage, hand_over=platform.hand_over)
        platform.serve_with(gateway.stop)
        write_endpoint(storage.path, gateway.endpoint)
    except MocError as error:
        # What this process wants of its storage does not depend on others; `origin` says that it is alone.
        platform.stop_serving(error.message)
    except BaseException:
        platform.close()
        raise
    return platform


def find_new_owner(directory: Path, instance_id: str, heir: int | None, seconds: float) -> HttpPlatform:
    """Wait for the owner that this process gave its storage to, and connect to it.

    Parameters
    ----------
    heir
        The process that asked for the storage, if it told.

    Raises
    ------
    ServerUnreachableError
        It ended before it answered, or does not answer within `seconds`.
    """
    file = directory / ENDPOINT_FILE
    find_now = follow(file, instance_id, seconds=0)
    deadline = time.monotonic() + seconds
    while True:
        address = find_now()
        if address is not None:
            rediscover = follow(file, instance_id)
            return HttpPlatform(address.url, address.token, address.ca_file, rediscover=rediscover)
        taker = owner_pid(directory) or heir
        gone = taker is not None and not is_alive(taker)
        if gone or time.monotonic() > deadline:
            who = f"process {taker}" if taker else "a server"
            raise ServerUnreachableError(
                str(directory),
                f"this storage was handed over to {who}, which {'has ended' if gone else 'does not answer yet'}; "
                "connect() opens it here again",
            )
        time.sleep(POLL_SECONDS)


def take_over(directory: Path, open: Callable[[], T]) -> T:
    """Open the storage for a server that starts; an embedded owner that is idle hands it over.

    An owner that ends in the middle of it leaves the storage free, which is as good.

    Raises
    ------
    LockedStorageError
        Its owner is a server, or busy, or serves nobody. The storage stays where it is.
    """
    try:
        return open()
    except LockedStorageError:
        owner = read_endpoint(directory)
        if owner is not None and is_alive(owner.pid):
            if not owner.embedded:
                raise
            if not _ask_for_handover(owner):
                raise LockedStorageError(str(directory), pid=owner.pid, url=owner.url, busy=True) from None
    return open_in_turn(open, lambda: None)


def _ask_for_handover(owner: Endpoint) -> bool:
    """Ask an embedded owner for its storage; False if it keeps it."""
    transport = Transport(address_of(owner))
    try:
        body = json.dumps({"pid": os.getpid()}).encode()
        headers = {"Content-Type": "application/json"}
        transport.request("POST", "handover", headers=headers, body=body, answer_seconds=_HANDOVER_SECONDS)
    except (ServerUnreachableError, HandedOverError):
        pass  # It ends, or has ended, or another server was faster: the lock tells.
    except MocError:
        return False
    finally:
        transport.close()
    return True
