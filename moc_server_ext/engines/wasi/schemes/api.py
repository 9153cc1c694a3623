"""``api://input``, ``api://input/0``, ``api://output``: the exchange buffers of the call, opened like files."""

from __future__ import annotations

from ....guest_api.context import CallContext
from ....guest_api.errno import Errno, GuestErrno
from .. import layout
from ..descriptors import STDIN, STDOUT, Descriptor, Stat
from .base import Asked, Scheme

_INPUT = (b"input", b"input/0")
_OUTPUT = b"output"


class ApiScheme(Scheme):
    """Opens the call's own streams; their positions are shared by all that open them."""

    __slots__ = ()

    def open(self, call: CallContext, name: bytes, asked: Asked) -> Descriptor:
        """Give a stream; EACCES in the wrong direction, ENOENT for another name, which no file can have."""
        found = _find(name)
        if asked.exclusive:
            raise GuestErrno(Errno.EEXIST)
        if found is STDIN:
            if asked.writing or asked.open_flags & layout.OPEN_TRUNCATE:
                raise GuestErrno(Errno.EACCES)
        elif asked.reading and not asked.writing:
            raise GuestErrno(Errno.EACCES)
        return found

    def stat(self, call: CallContext, name: bytes) -> Stat:
        """Describe a stream."""
        return _find(name).stat(call.wasi)


def _find(name: bytes) -> Descriptor:
    if name in _INPUT:
        return STDIN
    if name == _OUTPUT:
        return STDOUT
    raise GuestErrno(Errno.ENOENT)
