"""A guest's linear memory, seen from its host functions: every access is checked, and nobody else keeps a view.

The base address never changes while an instance lives; the length is cached and read again when a check fails, because
the guest may have grown its memory since. What host functions do most is small: it goes through one view of the memory
as it is known, which costs a tenth of a foreign function call. Long copies go by address, and leave the interpreter's
lock to others.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from ...abc import Bytes
from ...guest_api.errno import Errno, GuestErrno

_MASK: Final = 0xFFFF_FFFF
_LONG_BYTES: Final = 128 << 10
_U16: Final = Struct("<H")
_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")
_WRITABLE: Final = 0x200  # PyBUF_WRITE


def _python_api(name: str, result: Any, *arguments: Any) -> Any:
    function = ctypes.pythonapi[name]
    function.restype = result
    function.argtypes = arguments
    return function


_bytes_at: Final = _python_api("PyBytes_FromStringAndSize", ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)
_view_at: Final = _python_api(
    "PyMemoryView_FromMemory", ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int
)


class _View(ctypes.Structure):
    """``Py_buffer`` (part of the stable ABI)."""

    _fields_ = (
        ("address", ctypes.c_void_p), ("owner", ctypes.c_void_p), ("length", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t), ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p), ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p), ("internal", ctypes.c_void_p),
    )  # fmt: skip


_get_view: Final = _python_api("PyObject_GetBuffer", ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_int)
_release_view: Final = _python_api("PyBuffer_Release", None, ctypes.c_void_p)
_bytes_address: Final = _python_api("PyBytes_AsString", ctypes.c_void_p, ctypes.py_object)


_NOTHING: Final = memoryview(b"")


def _no_length() -> int:
    return 0


class FilledBytes:
    """A ``bytes`` object that is filled a piece at a time; nobody else may see it before it is whole.

    Attributes
    ----------
    filled
        How many bytes of it are there.
    """

    __slots__ = ("_address", "_size", "_value", "filled")

    def __init__(self, size: int) -> None:
        # The memory is the system's own until it is touched: each page costs its fault when it is filled, and not here.
        self._value: bytes = _bytes_at(None, size)
        self._address = _bytes_address(self._value)
        self._size = size
        self.filled = 0

    @property
    def left(self) -> int:
        """How many bytes are missing."""
        return self._size - self.filled

    @property
    def value(self) -> bytes:
        """The bytes, once they are whole."""
        return self._value

    def append(self, address: int, length: int) -> None:
        """Copy `length` bytes, of those that are missing, from an address, without the interpreter's lock."""
        if length:
            ctypes.memmove(self._address + self.filled, address, length)
            self.filled += length


class LinearMemory:
    """Implements ``abc.GuestMemory`` over the addresses of one instance.

    Not thread-safe: it belongs to whoever drives the guest. It is of no use any more once the guest's store is gone, of
    which :meth:`detach` makes sure.

    Parameters
    ----------
    base
        Address of the first byte; 0 for a module that exports no memory.
    measure
        Reads the present length in bytes.
    """

    __slots__ = ("_base", "_bytes", "_measure", "frozen", "length")

    def __init__(self, base: int = 0, measure: Callable[[], int] = _no_length) -> None:
        self._base = base
        self._bytes = _NOTHING
        self._measure = measure
        self.length = 0
        self.frozen = False
        self.measure()

    def measure(self) -> None:
        """Read the length now; called inside of the guest."""
        length = self._measure()
        if length != self.length:
            self._bytes = _view_at(self._base, length, _WRITABLE)
            self.length = length

    def freeze(self) -> None:
        """Read the length now and keep to it: the store of a suspended guest must not be touched."""
        self.measure()
        self.frozen = True

    def thaw(self) -> None:
        """Read the length again when needed: the guest runs on."""
        self.frozen = False

    def detach(self) -> None:
        """Refuse every access from now on; idempotent."""
        self._base = 0
        self._bytes = _NOTHING
        self.length = 0
        self.frozen = True

    # Each access tests its end itself: a call to do so would cost as much as the access.

    def _look_again(self, end: int) -> None:
        """Refuse an access that ends beyond the known length, unless the memory has grown since."""
        if not self.frozen:
            self.measure()
        if end > self.length:
            raise GuestErrno(Errno.EFAULT)

    def _inside(self, pointer: int, length: int) -> int:
        """Check as :meth:`check` does, and give the offset."""
        pointer &= _MASK
        end = pointer + (length & _MASK)
        if end > self.length:
            self._look_again(end)
        return pointer

    def check(self, pointer: int, length: int) -> None:
        """Check that ``[pointer, pointer + length)`` lies inside."""
        end = (pointer & _MASK) + (length & _MASK)
        if end > self.length:
            self._look_again(end)

    def read(self, pointer: int, length: int) -> bytes:
        """Copy `length` bytes out."""
        pointer &= _MASK
        length &= _MASK
        end = pointer + length
        if end > self.length:
            self._look_again(end)
        if length < _LONG_BYTES:
            return self._bytes[pointer:end].tobytes()
        # Others run meanwhile.
        copy = FilledBytes(length)
        copy.append(self._base + pointer, length)
        return copy.value

    def write(self, pointer: int, content: Bytes) -> None:
        """Copy `content` in."""
        length = len(content)
        if length >= _LONG_BYTES:
            self._write_long(pointer, content)
            return
        pointer &= _MASK
        end = pointer + length
        if end > self.length:
            self._look_again(end)
        if length:
            self._bytes[pointer:end] = content

    def _write_long(self, pointer: int, content: Bytes) -> None:
        if isinstance(content, memoryview):
            self.fill(pointer, content)
        else:
            with memoryview(content) as view:
                self.fill(pointer, view)

    def view(self, pointer: int, length: int) -> memoryview:
        """Lend `length` bytes to a system call that fills them; nobody keeps the view beyond it."""
        at = self._inside(pointer, length)
        return self._bytes[at : at + (length & _MASK)]

    def fill(self, pointer: int, content: memoryview) -> None:
        """Copy `content`, which is contiguous, in, without holding the interpreter's lock meanwhile."""
        if content.nbytes > _MASK:
            raise GuestErrno(Errno.EFAULT)
        at, view = self._base + self._inside(pointer, content.nbytes), _View()
        _get_view(content, ctypes.addressof(view), 0)
        try:
            ctypes.memmove(at, view.address, view.length)
        finally:
            _release_view(ctypes.addressof(view))

    def copy_out(self, pointer: int, target: FilledBytes, length: int) -> None:
        """Append `length` bytes to `target`, without holding the interpreter's lock meanwhile."""
        if length:
            target.append(self._base + self._inside(pointer, length), length)

    def unpack(self, structure: Struct, pointer: int) -> tuple[Any, ...]:
        """Read a structure."""
        pointer &= _MASK
        end = pointer + structure.size
        if end > self.length:
            self._look_again(end)
        return structure.unpack_from(self._bytes, pointer)

    def read_u32(self, pointer: int) -> int:
        """Read a little-endian number of 4 bytes."""
        value: int = self.unpack(_U32, pointer)[0]
        return value

    def read_u64(self, pointer: int) -> int:
        """Read a little-endian number of 8 bytes."""
        value: int = self.unpack(_U64, pointer)[0]
        return value

    def write_u8(self, pointer: int, value: int) -> None:
        """Write one byte; of this and of the others, the low bits of `value`."""
        at = self._inside(pointer, 1)
        self._bytes[at] = value & 0xFF

    def write_u16(self, pointer: int, value: int) -> None:
        """Write a little-endian number of 2 bytes."""
        at = self._inside(pointer, 2)
        _U16.pack_into(self._bytes, at, value & 0xFFFF)

    def write_u32(self, pointer: int, value: int) -> None:
        """Write a little-endian number of 4 bytes."""
        pointer &= _MASK
        if pointer + 4 > self.length:
            self._look_again(pointer + 4)
        _U32.pack_into(self._bytes, pointer, value & _MASK)

    def write_u64(self, pointer: int, value: int) -> None:
        """Write a little-endian number of 8 bytes."""
        at = self._inside(pointer, 8)
        _U64.pack_into(self._bytes, at, value & 0xFFFF_FFFF_FFFF_FFFF)
