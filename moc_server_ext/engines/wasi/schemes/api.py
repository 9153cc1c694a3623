# ruff: noqa: D102 - methods of `FurtherInput` are documented by the class `Descriptor` that they override
"""``api://input``, ``api://input/N``, ``api://output``: the exchange buffers of the call, opened like files."""

from __future__ import annotations

import re

from ....buffers.exchange import ExchangeBuffer
from ....guest_api.context import CallContext
from ....guest_api.errno import Errno, GuestErrno
from .. import layout
from ..descriptors import STDIN, STDOUT, Descriptor, Stat, read_input
from ..vectors import Vectors
from .base import Asked, Scheme

_INPUT = re.compile(rb"input(?:/(0|[1-9][0-9]{0,3}))?")
_OUTPUT = b"output"
# Streams and URLs have the numbers before.
_INODES_BEFORE = 3


class FurtherInput(Descriptor):
    """Input buffer 1 or a later one, complete from the start. Whoever opens it shares the buffer's one position.

    Parameters
    ----------
    index
        Its place among the inputs.
    """

    __slots__ = ("_buffer", "inode")

    rights = layout.READING

    def __init__(self, buffer: ExchangeBuffer, index: int) -> None:
        self._buffer = buffer
        self.inode = _INODES_BEFORE + index

    def read(self, call: CallContext, vectors: Vectors) -> int:
        return read_input(call, self._buffer, vectors)

    def readable_bytes(self, call: CallContext) -> int:
        return len(self._buffer.peek())


class ApiScheme(Scheme):
    """Opens the call's own streams; their positions are shared by all that open them."""

    __slots__ = ()

    def open(self, call: CallContext, name: bytes, asked: Asked) -> Descriptor:
        """Give a stream; EACCES in the wrong direction, ENOENT for another name, which no file can have."""
        found = _find(call, name)
        if asked.exclusive:
            raise GuestErrno(Errno.EEXIST)
        if found is not STDOUT:
            if asked.writing or asked.open_flags & layout.OPEN_TRUNCATE:
                raise GuestErrno(Errno.EACCES)
        elif asked.reading and not asked.writing:
            raise GuestErrno(Errno.EACCES)
        return found

    def stat(self, call: CallContext, name: bytes) -> Stat:
        """Describe a stream."""
        return _find(call, name).stat(call.wasi)


def _find(call: CallContext, name: bytes) -> Descriptor:
    if name == _OUTPUT:
        return STDOUT
    match = _INPUT.fullmatch(name)
    index = int(match[1] or 0) if match else -1
    buffer = call.input_at(index)
    if buffer is None:
        raise GuestErrno(Errno.ENOENT)
    return FurtherInput(buffer, index) if index else STDIN
