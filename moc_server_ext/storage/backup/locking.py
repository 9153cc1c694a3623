"""One at a time changes a target: an object that says who, for two minutes, renewed while the work goes on."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from ...errors import BackupTargetError, MocError
from ..endpoint import is_alive
from ..targets.target import Target

LOCK_FILE: Final = "lock.json"
_SECONDS: Final = 120.0
_RENEW_SECONDS: Final = 30.0


class TargetLock:
    """The lock of one target; made by :func:`locked`."""

    def __init__(self, target: Target, what: str) -> None:
        self._target = target
        self._what = what
        self._owner = secrets.token_hex(16)
        self._released = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="moc_backup_lock", daemon=True)

    def take(self) -> None:
        """Take it, also from one who is gone; BackupTargetError if somebody holds it."""
        for _ in range(2):
            if self._target.put_new(LOCK_FILE, self._content()):
                self._renewing.start()
                return
            content = self._target.get(LOCK_FILE)
            held = None if content is None else _parsed(content)
            if held is not None and not _is_gone(held):
                who = f"process {held.get('pid')} on {held.get('host')!r}"
                raise BackupTargetError(
                    self._target.url, f"is in use: {who} makes a {held.get('what')}. Try again when it is done"
                )
            # Only that one, which another may have replaced meanwhile.
            if content is not None and self._target.get(LOCK_FILE) == content:
                self._target.delete(LOCK_FILE)
        raise BackupTargetError(self._target.url, "is in use: somebody else has just begun. Try again later")

    def check(self) -> None:
        """Make sure that it is still held, before what must not be done twice; BackupTargetError if not."""
        content = self._target.get(LOCK_FILE)
        held = None if content is None else _parsed(content)
        if held is None or held.get("owner") != self._owner:
            raise BackupTargetError(self._target.url, "was taken by somebody else meanwhile. Try again later")

    def release(self) -> None:
        """Let others take it; one that cannot be removed ends by itself."""
        self._released.set()
        if self._renewing.is_alive():
            self._renewing.join()
        with contextlib.suppress(MocError):
            self.check()
            self._target.delete(LOCK_FILE)

    def _renew(self) -> None:
        while not self._released.wait(_RENEW_SECONDS):
            # Whether it worked is found out by check().
            with contextlib.suppress(MocError):
                self.check()
                self._target.put(LOCK_FILE, self._content())

    def _content(self) -> bytes:
        body = {
            "owner": self._owner,
            "what": self._what,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "processes": _processes(),
            "expires_at": time.time() + _SECONDS,
        }
        return json.dumps(body).encode()


@contextlib.contextmanager
def locked(target: Target, what: str) -> Iterator[TargetLock]:
    """Hold the lock of a target in the block; see :meth:`TargetLock.take`."""
    lock = TargetLock(target, what)
    lock.take()
    try:
        yield lock
    finally:
        lock.release()


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and isinstance(body.get("expires_at"), int | float) else None


def _is_gone(held: dict[str, Any]) -> bool:
    pid = held.get("pid")
    if (
        held.get("processes")
        and held["processes"] == _processes()
        and type(pid) is int
        and pid != os.getpid()
        and not is_alive(pid)
    ):
        return True
    left = held["expires_at"] - time.time()
    # More than a lock ever has: a clock jumped.
    return not 0 <= left <= 2 * _SECONDS


def _processes() -> str:
    """Name the set of processes whose ids mean something here: this start of this machine, or of this container."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
