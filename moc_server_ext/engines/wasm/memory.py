"""A guest's linear memory, seen from its host functions: every access is checked, none keeps a view.

The base address never changes while an instance lives; the length is cached and read again when a check fails, because
the guest may have grown its memory since.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_uint8, c_uint16, c_uint32, c_uint64
from typing import Any, Final

from ...abc import Bytes
from ...guest_api.errno import Errno, GuestErrno

_MASK: Final = 0xFFFF_FFFF
_WRITABLE: Final = 0x200  # PyBUF_WRITE
_LONG_BYTES: Final = 1 << 20


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

    __slots__ = ("_base", "_measure", "frozen", "length")

    def __init__(self, base: int = 0, measure: Callable[[], int] = _no_length) -> None:
        self._base = base
        self._measure = measure
        self.length = measure()
        self.frozen = False

    def measure(self) -> None:
        """Read the length now; called inside of the guest."""
        self.length = self._measure()

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
        self.length = 0
        self.frozen = True

    def _address(self, pointer: int, length: int) -> int:
        pointer &= _MASK
        end = pointer + (length & _MASK)
        if end > self.length:
            if not self.frozen:
                self.length = self._measure()
            if end > self.length:
                raise GuestErrno(Errno.EFAULT)
        return self._base + pointer

    def check(self, pointer: int, length: int) -> None:
        """Check that ``[pointer, pointer + length)`` lies inside."""
        self._address(pointer, length)

    def read(self, pointer: int, length: int) -> bytes:
        """Copy `length` bytes out."""
        length &= _MASK
        address = self._address(pointer, length)
        if length > _LONG_BYTES:
            # Others run meanwhile.
            copy = FilledBytes(length)
            copy.append(address, length)
            return copy.value
        content: bytes = _bytes_at(address, length)
        return content

    def write(self, pointer: int, content: Bytes) -> None:
        """Copy `content` in."""
        length = len(content)
        if length > _MASK:
            raise GuestErrno(Errno.EFAULT)
        at = self._address(pointer, length)
        if type(content) is bytes:
            ctypes.memmove(at, content, length)
        elif length:
            _view_at(at, length, _WRITABLE)[:] = content

    def view(self, pointer: int, length: int) -> memoryview:
        """Lend `length` bytes to a system call that fills them; nobody keeps the view beyond it."""
        view: memoryview = _view_at(self._address(pointer, length), length & _MASK, _WRITABLE)
        return view

    def fill(self, pointer: int, content: memoryview) -> None:
        """Copy `content`, which is contiguous, in, without holding the interpreter's lock meanwhile."""
        at, view = self._address(pointer, content.nbytes), _View()
        _get_view(content, ctypes.addressof(view), 0)
        try:
            ctypes.memmove(at, view.address, view.length)
        finally:
            _release_view(ctypes.addressof(view))

    def copy_out(self, pointer: int, target: FilledBytes, length: int) -> None:
        """Append `length` bytes to `target`, without holding the interpreter's lock meanwhile."""
        if length:
            target.append(self._address(pointer, length), length)

    def read_u32(self, pointer: int) -> int:
        """Read a little-endian number of 4 bytes."""
        return c_uint32.from_address(self._address(pointer, 4)).value

    def read_u64(self, pointer: int) -> int:
        """Read a little-endian number of 8 bytes."""
        return c_uint64.from_address(self._address(pointer, 8)).value

    def write_u8(self, pointer: int, value: int) -> None:
        """Write one byte."""
        c_uint8.from_address(self._address(pointer, 1)).value = value

    def write_u16(self, pointer: int, value: int) -> None:
        """Write a little-endian number of 2 bytes."""
        c_uint16.from_address(self._address(pointer, 2)).value = value

    def write_u32(self, pointer: int, value: int) -> None:
        """Write a little-endian number of 4 bytes."""
        c_uint32.from_address(self._address(pointer, 4)).value = value

    def write_u64(self, pointer: int, value: int) -> None:
        """Write a little-endian number of 8 bytes."""
        c_uint64.from_address(self._address(pointer, 8)).value = value
