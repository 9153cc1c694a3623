# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""A buffer that is written from its beginning to its end, in parts, and appears when it is closed.

What came so far lies in a receiver of the storage, but for the last part: memory stays bounded, and nothing is visible
before the commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ....abc import Bytes, Content, Receiver
from ....errors import MocError, StorageError
from ....guest_api.context import CallContext
from ....guest_api.core.support import Failure, attempt, refusal
from ....guest_api.errno import Errno, GuestErrno
from ....guest_api.registry import Waiting, Work
from .. import layout
from ..descriptors import Descriptor, Stat
from ..nodes import Quota
from .access import allowed, raised, refuse_synchronous

if TYPE_CHECKING:
    from ..state import WasiState

PART_BYTES: Final = 256 << 10

_LARGE_BYTES: Final = 64 << 10
_RIGHTS: Final = layout.WRITING | layout.RIGHT_TELL


class Outgoing:
    """What is on its way into the storage. Filled by one thread at a time, and dropped from any.

    Parameters
    ----------
    begin
        Begins to receive; blocks.
    head
        What comes before all that is written; None for nothing.
    """

    def __init__(self, begin: Callable[[], Receiver[Any]], head: Content | None) -> None:
        self._begin = begin
        self._head = head
        self._lock = threading.Lock()
        self._receiver: Receiver[Any] | None = None
        self._is_dropped = False

    def write(self, parts: Iterable[Bytes]) -> None:
        """Take the next parts; raises what a receiver does."""
        with self._receiving() as receiver:
            for part in parts:
                receiver.write(part)

    def commit(self, parts: Iterable[Bytes]) -> None:
        """Take the last parts and store all; durable on return. Raises what a receiver does."""
        with self._receiving() as receiver:
            for part in parts:
                receiver.write(part)
            self._require_wanted()
            receiver.commit()

    def drop(self) -> None:
        """Leave nothing of what was not committed; never waits: what is being done is undone by who does it."""
        self._is_dropped = True
        if self._lock.acquire(blocking=False):
            try:
                if self._receiver is not None:
                    self._receiver.close()
            finally:
                self._lock.release()

    @contextmanager
    def _receiving(self) -> Iterator[Receiver[Any]]:
        try:
            with self._lock:
                self._require_wanted()
                if self._receiver is None:
                    self._receiver = self._begin()
                    self._copy_head(self._receiver)
                yield self._receiver
        finally:
            if self._is_dropped:
                self.drop()

    def _copy_head(self, receiver: Receiver[Any]) -> None:
        head, self._head = self._head, None
        for part in () if head is None else head.parts():
            self._require_wanted()
            receiver.write(part)

    def _require_wanted(self) -> None:
        if self._is_dropped:
            raise StorageError("The call that wrote this has ended.")


class StreamedFile(Descriptor):
    """A file that is written in one go: nothing but its end can be sought.

    Parameters
    ----------
    outgoing
        Where it goes.
    stat
        What there is before anything is written.
    quota
        What a large part takes until it is on its way.
    is_new
        Whether it is stored even if nothing is written.
    """

    __slots__ = (
        "_charged",
        "_failure",
        "_is_new",
        "_outgoing",
        "_pending",
        "_pending_bytes",
        "_quota",
        "_size",
        "_stat",
        "flags",
        "rights",
    )

    filetype = layout.REGULAR_TYPE

    def __init__(self, outgoing: Outgoing, stat: Stat, quota: Quota, rights: int, flags: int, *, is_new: bool) -> None:
        self._outgoing = outgoing
        self._stat = stat
        self._size = stat.size
        self._is_new = is_new
        # Large parts as they came, small ones joined.
        self._pending: list[bytes | bytearray] = []
        self._pending_bytes = 0
        self._quota = quota
        self._charged = 0
        self._failure: MocError | None = None
        self.rights = allowed(_RIGHTS, rights)
        self.flags = flags

    def read(self, call: CallContext, vectors: Any) -> int:
        raise GuestErrno(Errno.EBADF)

    def before_write(self, call: CallContext) -> Waiting | None:
        if self._pending_bytes < PART_BYTES or self._failure is not None:
            return None
        parts = self._take_pending()
        return Work(attempt(lambda: self._outgoing.write(parts)), lambda outcome: self._told(call, outcome))

    def write(self, call: CallContext, part: bytes) -> int:
        if self._failure is not None:
            raise refusal(call, self._failure)
        if not self.rights & layout.RIGHT_WRITE:
            raise GuestErrno(Errno.EBADF)
        room = PART_BYTES - self._pending_bytes
        excess = len(part) - room
        if excess > 0:
            # What does not fit is taken as scratch space, or not at all: a part of a part, as a full pipe would.
            if excess > self._quota.room_bytes:
                part, excess = part[:room], 0
            self._quota.charge(excess)
            self._charged = excess
        pending = self._pending
        if len(part) >= _LARGE_BYTES:
            pending.append(part)
        elif pending and isinstance(pending[-1], bytearray):
            pending[-1] += part
        else:
            pending.append(bytearray(part))
        self._pending_bytes += len(part)
        self._size += len(part)
        self._is_new = self._is_new or bool(part)
        return len(part)

    def seek(self, offset: int, origin: int) -> int:
        if offset + (0, self._size, self._size)[origin] != self._size:
            raise GuestErrno(Errno.ESPIPE)
        return self._size

    def before_close(self, call: CallContext) -> Waiting | None:
        commit = self._commit()
        return commit and Work(commit, lambda outcome: self._told(call, outcome))

    def before_end(self, call: CallContext) -> Waiting | None:
        commit = self._commit()
        return commit and Work(commit, raised)

    def sync(self, *, data_only: bool) -> None:
        # Nothing of it is stored before all of it is.
        raise GuestErrno(Errno.EINVAL)

    def stat(self, state: WasiState) -> Stat:
        return self._stat._replace(size=self._size)

    def set_flags(self, flags: int) -> None:
        refuse_synchronous(flags)
        self.flags = flags

    def close(self) -> None:
        self._outgoing.drop()
        self._take_pending()

    def _commit(self) -> Callable[[], Failure | None] | None:
        """Give what stores all; None when there is nothing to store."""
        if not self._is_new:
            return None
        if self._failure is not None:
            failed = Failure(self._failure)
            return lambda: failed
        self._is_new = False
        parts = self._take_pending()
        return attempt(lambda: self._outgoing.commit(parts))

    def _take_pending(self) -> list[bytes | bytearray]:
        self._quota.release(self._charged)
        parts, self._pending, self._pending_bytes, self._charged = self._pending, [], 0, 0
        return parts

    def _told(self, call: CallContext, outcome: Failure | None) -> int:
        if outcome is not None:
            self._failure = outcome.error
            raise refusal(call, outcome.error)
        return 0
