"""``buffer://NAME``: the stored buffers, for functions with a grant ``buffer:GLOB``.

How one is opened decides what it is: a version that is read (:mod:`.stored`), one that is written in one go
(:mod:`.outgoing`), or one that is changed in memory (:mod:`.loaded`). Whatever is written appears when it is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from ....abc import Content, LocalBuffers
from ....errors import BufferNotFoundError, ConflictError
from ....guest_api.context import CallContext
from ....guest_api.errno import Errno, GuestErrno
from ....model import DEFAULT_CONTENT_TYPE, BufferRecord
from ..descriptors import Descriptor, Stat
from ..waiting import Later
from .access import later, require_storage, text_of
from .base import Asked, Scheme
from .loaded import LoadedFile
from .outgoing import Outgoing, StreamedFile
from .stored import StoredFile, head_of, stored_stat

_KIND: Final = "buffer"


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is when a buffer is opened.

    Parameters
    ----------
    content
        A version held open; None when there is nothing, or nothing of it is needed.
    head
        The first bytes of what is read.
    loaded
        The whole of what is changed in memory.
    """

    exists: bool = False
    size: int = 0
    created_at: float = 0.0
    content: Content | None = None
    head: bytes = b""
    loaded: bytes | None = None
    content_type: str = DEFAULT_CONTENT_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


class BufferScheme(Scheme):
    """Opens stored buffers."""

    __slots__ = ()

    def open(self, call: CallContext, name: bytes, asked: Asked) -> Later[Descriptor]:
        """Open a buffer, or begin a new one; see the reference for which is which."""
        buffers = require_storage(call, _KIND, name).buffers
        if asked.truncating and not asked.writing:
            raise GuestErrno(Errno.EINVAL)
        room = call.wasi.tree.quota.room_bytes
        return later(call, partial(_find, buffers, text_of(name), asked, room), partial(_opened, call, name, asked))

    def stat(self, call: CallContext, name: bytes) -> Later[Stat]:
        """Describe a buffer."""
        buffers = require_storage(call, _KIND, name).buffers
        return later(call, lambda: buffers.stat(text_of(name)), partial(_stat, name))

    def unlink(self, call: CallContext, name: bytes) -> Later[None]:
        """Remove a buffer."""
        buffers = require_storage(call, _KIND, name).buffers
        return later(call, lambda: buffers.delete(text_of(name)), lambda _: None)


def _stat(name: bytes, record: BufferRecord) -> Stat:
    return stored_stat(_KIND, name, record.size, record.created_at)


def _find(buffers: LocalBuffers, name: str, asked: Asked, room: int) -> _Found:
    """Look for what there is and read what is needed of it; blocks."""
    content: Content | None = None
    try:
        if asked.exclusive or asked.truncating:
            record = buffers.stat(name)
        else:
            record, content = buffers.open(name)
    except BufferNotFoundError:
        if not asked.creating:
            raise GuestErrno(Errno.ENOENT) from None
        return _Found()
    if asked.exclusive:
        raise GuestErrno(Errno.EEXIST)
    if content is None:
        return _Found(exists=True, created_at=record.created_at)
    found = _Found(True, content.size, record.created_at, content)
    if not asked.writing:
        return replace(found, head=head_of(content))
    _require_bytes(record)
    found = replace(found, content_type=record.content_type, headers=record.headers)
    if asked.appending and not asked.reading:
        return found
    if content.size > room:
        raise GuestErrno(Errno.ENOSPC)
    return replace(found, loaded=content.read())


def _require_bytes(record: BufferRecord) -> None:
    """Refuse to change what is more than bytes, and would be no more than bytes afterwards."""
    if record.array is not None or record.arrays:
        raise ConflictError(
            f"Buffer {record.name!r} is {'a group of arrays' if record.arrays else 'an array'}: a program can read it "
            "or replace it (O_TRUNC), but not change it or add to it.",
            name=record.name,
        )


def _opened(call: CallContext, name: bytes, asked: Asked, found: _Found) -> Descriptor:
    stat = stored_stat(_KIND, name, found.size, found.created_at)
    if not asked.writing and found.content is not None:
        return StoredFile(found.content, found.head, stat, call.wasi.tree.quota, asked.rights, asked.flags)
    buffers = require_storage(call, _KIND, name).buffers
    text, content_type, headers = text_of(name), found.content_type, found.headers
    origin = {"call_id": call.call_id, "function": call.invocation.function}
    is_new = not found.exists or asked.truncating
    if asked.writing and not asked.reading and found.loaded is None:
        outgoing = Outgoing(lambda: buffers.receive(text, content_type, headers, origin=origin), found.content)
        return StreamedFile(outgoing, stat, call.wasi.tree.quota, asked.rights, asked.flags, is_new=is_new)
    return LoadedFile(
        call.wasi,
        found.loaded or b"",
        stat,
        lambda content: buffers.put(text, content, content_type, headers, origin=origin),
        rights=asked.rights,
        flags=asked.flags,
        is_new=is_new,
    )
