"""The bytes of a file in the private tree, in blocks.

Nothing that a guest does to a large file takes long in one go then, which other threads would have to wait for; and
what was never written takes no memory.
"""

from __future__ import annotations

from typing import Final

from ...abc import Bytes

BLOCK_BYTES: Final = 256 << 10


class FileContent:
    """Bytes that can be read, written and cut anywhere. What lies between two writes reads as zeros."""

    __slots__ = ("_blocks", "_size")

    def __init__(self, content: Bytes = b"") -> None:
        # A block may be shorter than its place: zeros follow.
        self._blocks: list[bytearray] = []
        self._size = 0
        if content:
            self.write(0, content)

    def __len__(self) -> int:
        return self._size

    def read(self, start: int, stop: int) -> bytes:
        """Copy bytes ``[start, stop)``, cut off at the end."""
        stop = min(stop, self._size)
        first, offset = divmod(start, BLOCK_BYTES)
        if stop <= start:
            return b""
        end = offset + stop - start
        if end <= BLOCK_BYTES:
            part = bytes(self._block(first)[offset:end])
            return part if len(part) == stop - start else part.ljust(stop - start, b"\0")
        parts = []
        while start < stop:
            number, offset = divmod(start, BLOCK_BYTES)
            length = min(BLOCK_BYTES - offset, stop - start)
            parts.append(bytes(self._block(number)[offset : offset + length]).ljust(length, b"\0"))
            start += length
        return b"".join(parts)

    def write(self, at: int, part: Bytes) -> None:
        """Put `part` at `at`."""
        view = memoryview(part)
        position, end = at, at + len(view)
        while position < end:
            number, offset = divmod(position, BLOCK_BYTES)
            length = min(BLOCK_BYTES - offset, end - position)
            while len(self._blocks) <= number:
                self._blocks.append(bytearray())
            block = self._blocks[number]
            if len(block) < offset:
                block.extend(bytes(offset - len(block)))
            block[offset : offset + length] = view[position - at : position - at + length]
            position += length
        self._size = max(self._size, end)

    def resize(self, size: int) -> None:
        """Cut it, or let zeros follow."""
        number, offset = divmod(size, BLOCK_BYTES)
        # One at a time: much memory takes long to give back.
        while len(self._blocks) > number + 1:
            self._blocks.pop()
        if len(self._blocks) > number:
            del self._blocks[number][offset:]
        self._size = size

    def __bytes__(self) -> bytes:
        return self.read(0, self._size)

    def _block(self, number: int) -> Bytes:
        return self._blocks[number] if number < len(self._blocks) else b""
