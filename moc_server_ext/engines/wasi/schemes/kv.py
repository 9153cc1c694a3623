"""``kv://KEY``: the key-value store, for functions with a grant ``kv:PREFIX``.

A value is a file in memory while it is open; one that was written is stored when it is closed, as a whole.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from ....abc import KeyValues
from ....errors import KeyNotFoundError
from ....guest_api.context import CallContext
from ....guest_api.errno import Errno, GuestErrno
from ..descriptors import Descriptor, Stat
from ..waiting import Later
from .access import later, require_storage
from .base import Asked, Scheme
from .loaded import LoadedFile
from .stored import stored_stat

VALUE_BYTES: Final = 64 << 20

_KIND: Final = "kv"


class KvScheme(Scheme):
    """Opens values of the key-value store."""

    __slots__ = ()

    def open(self, call: CallContext, name: bytes, asked: Asked) -> Later[Descriptor]:
        """Open the value of a key, or begin one."""
        kv = require_storage(call, _KIND, name).kv
        if asked.truncating and not asked.writing:
            raise GuestErrno(Errno.EINVAL)

        def opened(value: bytes | None) -> Descriptor:
            content = b"" if value is None or asked.truncating else value
            return LoadedFile(
                call.wasi,
                content,
                stored_stat(_KIND, name, len(content)),
                partial(kv.set, name),
                rights=asked.rights,
                flags=asked.flags,
                is_new=value is None or asked.truncating,
                limit_bytes=VALUE_BYTES,
            )

        return later(call, partial(_find, kv, name, asked), opened)

    def stat(self, call: CallContext, name: bytes) -> Later[Stat]:
        """Describe a value."""
        kv = require_storage(call, _KIND, name).kv
        return later(call, lambda: len(kv.get(name)), partial(stored_stat, _KIND, name))

    def unlink(self, call: CallContext, name: bytes) -> Later[None]:
        """Remove a key with its value."""
        kv = require_storage(call, _KIND, name).kv
        return later(call, lambda: kv.delete(name), lambda _: None)


def _find(kv: KeyValues, key: bytes, asked: Asked) -> bytes | None:
    """Read a value; None for a key that is to be made. Blocks."""
    try:
        value = kv.get(key)
    except KeyNotFoundError:
        if not asked.creating:
            raise GuestErrno(Errno.ENOENT) from None
        return None
    if asked.exclusive:
        raise GuestErrno(Errno.EEXIST)
    return value
