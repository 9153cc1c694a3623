"""``blob://ID`` and ``blob://NAME``: stored blobs, for functions with a grant ``blob``. They are read only.

A name is a function's, and stands for its module.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NoReturn

from ....abc import CallServices, Content
from ....guest_api.context import CallContext
from ....guest_api.errno import Errno, GuestErrno
from ....model import is_blob_id
from ..descriptors import Descriptor, Stat
from ..waiting import Later
from .access import later, require_storage, text_of
from .base import Asked, Scheme
from .stored import StoredFile, head_of, stored_stat

_KIND: Final = "blob"


class BlobScheme(Scheme):
    """Opens stored blobs."""

    __slots__ = ()

    def open(self, call: CallContext, name: bytes, asked: Asked) -> Later[Descriptor]:
        """Open a blob for reading; EROFS for anything else."""
        services = require_storage(call, _KIND, name)
        if asked.writing or asked.truncating:
            raise GuestErrno(Errno.EROFS)

        def opened(found: tuple[Content, bytes]) -> Descriptor:
            content, head = found
            if asked.exclusive:
                raise GuestErrno(Errno.EEXIST)
            return StoredFile(
                content, head, stored_stat(_KIND, name, content.size), call.wasi.tree.quota, asked.rights, asked.flags
            )

        return later(call, partial(_open, services, text_of(name)), opened)

    def stat(self, call: CallContext, name: bytes) -> Later[Stat]:
        """Describe a blob."""
        services = require_storage(call, _KIND, name)
        return later(call, partial(_size, services, text_of(name)), partial(stored_stat, _KIND, name))

    def unlink(self, call: CallContext, name: bytes) -> NoReturn:
        """Refuse: a blob is there for good."""
        require_storage(call, _KIND, name)
        raise GuestErrno(Errno.EROFS)


def _open(services: CallServices, name: str) -> tuple[Content, bytes]:
    content = services.blobs.open(_blob_id(services, name))[1]
    return content, head_of(content)


def _size(services: CallServices, name: str) -> int:
    return services.blobs.stat(_blob_id(services, name)).size


def _blob_id(services: CallServices, name: str) -> str:
    return name if is_blob_id(name) else services.functions.get(name).blob_id
