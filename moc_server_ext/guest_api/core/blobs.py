"""Blobs and the names of functions, for functions with a grant ``register`` or ``blob``."""

from __future__ import annotations

import contextlib
import hashlib
import re
from functools import partial
from typing import Final

from ...abc import CallServices
from ...errors import BlobNotFoundError
from ...model import Declaration, parse_content_type
from ..context import CallContext
from ..errno import Errno, GuestErrno
from ..registry import Work
from .module import CORE
from .support import changing_services_of, check_grant, give, read_text, room, work

_BLOB_BYTES: Final = 64 << 20
_BLOB_ID: Final = re.compile(r"[0-9a-f]{64}")


@CORE.function("register_blob_with_name", waits=True)
def register_blob_with_name(
    call: CallContext,
    name_ptr: int,
    name_length: int,
    content_type_ptr: int,
    content_type_length: int,
    content_ptr: int,
    content_length: int,
) -> Work:
    """Register a module under a name, as ``moc push`` does; durable on return.

    A function of that name is replaced. The new one has no grants, no limits of its own and no declared entry point.

    Returns
    -------
    int
        A new buffer with the blob id, 64 hex digits. -EACCES without a grant ``register`` for the name, -EINVAL for
        what cannot be a function's name or content type, -EFBIG beyond 64 MiB, -ENOEXEC for a module that cannot run
        here, -EROFS and -EIO when it cannot be stored; the reason is on stderr. -EAGAIN when the server is busy.
        -ENOSPC on a full disk, or when the call's buffers have no room for the id; -EMFILE beyond the limit `buffers`;
        -ENOSYS outside of a cluster and for a function that declares itself deterministic. -EFAULT, -E2BIG as
        everywhere.
    """
    services = changing_services_of(call)
    name = read_text(call, name_ptr, name_length)
    check_grant(call, "register", name)
    content_type = read_text(call, content_type_ptr, content_type_length)
    content = _content(call, content_ptr, content_length)

    def run() -> bytes:
        return services.functions.put(name, content, Declaration(), content_type).blob_id.encode()

    return work(call, run, partial(give, call))


@CORE.function("register_blob", waits=True)
def register_blob(
    call: CallContext, content_type_ptr: int, content_type_length: int, content_ptr: int, content_length: int
) -> Work:
    """Store bytes as a blob, without a name; durable on return. Bytes that are stored already keep their content type.

    Returns
    -------
    int
        A new buffer with the blob id, 64 hex digits. -EACCES without a grant ``register`` for everything, -EINVAL for
        what is no content type, -EFBIG beyond 64 MiB, -EROFS and -EIO when it cannot be stored; the reason is on
        stderr. -ENOSPC on a full disk, or when the call's buffers have no room for the id; -EMFILE beyond the limit
        `buffers`; -ENOSYS outside of a cluster and for a function that declares itself deterministic. -EFAULT, -E2BIG
        as everywhere.
    """
    services = changing_services_of(call)
    check_grant(call, "register")
    content_type = read_text(call, content_type_ptr, content_type_length)
    content = _content(call, content_ptr, content_length)

    return work(call, partial(_store, services, content, content_type), partial(give, call))


def _store(services: CallServices, content: bytes, content_type: str) -> bytes:
    kept = parse_content_type(content_type)
    # What others stored is not a guest's to change. Stored it is all the same: that mends a blob whose file was lost.
    with contextlib.suppress(BlobNotFoundError):
        kept = services.blobs.stat(hashlib.sha256(content).hexdigest()).content_type
    return services.blobs.put(content, kept).blob_id.encode()


@CORE.function("get_blob_tech_id_from_name", waits=True)
def get_blob_tech_id_from_name(call: CallContext, name_ptr: int, name_length: int) -> Work:
    """Give a new buffer with the blob id that a function's name points to now, 64 hex digits.

    Returns
    -------
    int
        The buffer's id. -ENOENT if there is no such function, -EACCES without a grant ``blob`` for the name; -ENOSPC
        when the call's buffers have no room; -EMFILE beyond the limit `buffers`; -ENOSYS outside of a cluster and for a
        function that declares itself deterministic. -EFAULT, -EINVAL, -E2BIG as everywhere.
    """
    services = changing_services_of(call)
    name = read_text(call, name_ptr, name_length)
    check_grant(call, "blob", name)
    return work(call, lambda: services.functions.get(name).blob_id.encode(), partial(give, call))


@CORE.function("get_blob_bytes_as_string", waits=True)
def get_blob_bytes_as_string(call: CallContext, name_ptr: int, name_length: int) -> Work:
    """Give a new buffer with the bytes of a blob, whatever they are, by its id or the name of a function.

    Returns
    -------
    int
        The buffer's id. -ENOENT if there is no such blob or function, -EACCES without a grant ``blob`` for what was
        asked for; -ENOSPC when the call's buffers have no room; -EMFILE beyond the limit `buffers`; -EIO when the bytes
        are damaged, with the reason on stderr; -ENOSYS outside of a cluster and for a function that declares itself
        deterministic. -EFAULT, -EINVAL, -E2BIG as everywhere.
    """
    services = changing_services_of(call)
    name = read_text(call, name_ptr, name_length)
    check_grant(call, "blob", name)
    return work(call, partial(_blob, services, name, room(call)), partial(give, call))


def _blob(services: CallServices, name: str, most: int) -> bytes:
    blob_id = name if _BLOB_ID.fullmatch(name) else services.functions.get(name).blob_id
    if services.blobs.stat(blob_id).size > most:
        raise GuestErrno(Errno.ENOSPC)
    return services.blobs.read(blob_id)


def _content(call: CallContext, pointer: int, length: int) -> bytes:
    if length & 0xFFFF_FFFF > _BLOB_BYTES:
        raise GuestErrno(Errno.EFBIG)
    return call.memory.read(pointer, length)
