"""A stored buffer as static HTML and as plain text: its first page, or, of an array, what it is and how it begins.

What a notebook keeps of a buffer, and what a front end shows that runs no widgets. The same buffer gives the same page.
"""

from __future__ import annotations

import base64
import html
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from moc_server_ext.errors import MocError

from .elements import StoredElements
from .page import PAGE_BYTES, figure, first_page, format_caption, preformatted, printable
from .palette import palette

if TYPE_CHECKING:
    from numpy import ndarray

    from moc_server_ext.client.handles import BufferHandle
    from moc_server_ext.model import ArraySpec, BufferRecord

_VALUES: Final = 1000
_MAP_POINTS: Final = 96
_MAP_BYTES: Final = 8 << 20
_MOST_MEMBERS: Final = 40


def buffer_page(handle: BufferHandle) -> dict[str, str]:
    """Show a stored buffer as a MIME bundle; one that is not there, or cannot be read, says so."""
    try:
        record = handle.record
        array, members = record.array, record.arrays
        if members and array is None:
            return _group_page(record, members)
        if array is not None:
            return _array_page(handle, record, array)
        content = handle.read(0, PAGE_BYTES)
    except MocError as error:
        # A handle outlives its buffer; looking at it must not put a traceback below the cell.
        return {"text/plain": f"<buffer {handle.name!r}: {error.message}>"}
    return first_page(content, size=record.size, content_type=record.content_type, title=f"buffer {record.name!r}")


def _array_page(handle: BufferHandle, record: BufferRecord, spec: ArraySpec) -> dict[str, str]:
    import numpy

    elements = StoredElements(handle, spec)
    names = [printable(each, keep="")[:80] if each else "" for each in spec.dimension_names or ()]
    shape = ", ".join(f"{name} {length:,}" if name else f"{length:,}" for name, length in _named(spec.shape, names))
    caption = format_caption(f"buffer {record.name!r}", record.size, f"{spec.dtype} ({shape})")
    shown = _beginning(elements)
    with numpy.printoptions(threshold=64, edgeitems=3, linewidth=100, precision=6, suppress=False):
        text = str(shown) if shown.size else "no elements"
    left = math.prod(spec.shape) - shown.size
    note = f"The first {shown.size:,} of {math.prod(spec.shape):,} elements." if left else ""
    body = _map(elements, caption) + preformatted(text, "First elements", "white-space:pre")
    plain = "\n".join(each for each in (caption, text, note) if each)
    return {"text/html": figure(caption, body, note), "text/plain": plain}


def _group_page(record: BufferRecord, members: Mapping[str, ArraySpec]) -> dict[str, str]:
    lines = [
        f"{printable(path, keep='')[:80]}: {spec.dtype} ({', '.join(f'{each:,}' for each in spec.shape)})"
        for path, spec in list(members.items())[:_MOST_MEMBERS]
    ]
    left = len(members) - len(lines)
    note = f"… and {left:,} more arrays" if left > 0 else ""
    count = f"{len(members):,} array{'' if len(members) == 1 else 's'}"
    caption = format_caption(f"buffer {record.name!r}", record.size, f"group of {count}")
    text = "\n".join(lines)
    plain = "\n".join(each for each in (caption, text, note) if each)
    return {"text/html": figure(caption, preformatted(text, "Arrays", "white-space:pre"), note), "text/plain": plain}


def _named(shape: Sequence[int], names: list[str]) -> list[tuple[str, int]]:
    return [(names[axis] if axis < len(names) else "", length) for axis, length in enumerate(shape)]


def _beginning(elements: StoredElements) -> ndarray[Any, Any]:
    """Read the corner of the array, at most about a thousand elements of it."""
    lengths, room = [], _VALUES
    for length in reversed(elements.shape):
        lengths.append(min(length, max(room, 1)))
        room //= max(lengths[-1], 1)
    return elements.read(tuple(slice(0, length) for length in reversed(lengths)))


def _map(elements: StoredElements, caption: str) -> str:
    """Draw the first plane of the last two axes as a small image, if there is one that is quickly read."""
    import numpy

    if len(elements.shape) < 2 or not elements.count:
        return ""
    height, width = elements.shape[-2:]
    if min(height, width) < 2 or height * width * elements.dtype.itemsize > _MAP_BYTES:
        return ""
    steps = [-(-length // _MAP_POINTS) for length in (height, width)]
    at: list[int | slice] = [0] * len(elements.shape)
    at[-2], at[-1] = slice(0, height, steps[0]), slice(0, width, steps[1])
    plane = elements.read(tuple(at))
    values = (numpy.abs(plane) if plane.dtype.kind == "c" else plane).astype("f8")
    finite = numpy.isfinite(values)
    if not finite.any():
        return ""
    low, high = values[finite].min(), values[finite].max()
    # Halved, since a range from -1e308 to 1e308 is itself no number.
    half = high / 2 - low / 2
    shares = (numpy.where(finite, values, low) / 2 - low / 2) / half if half > 0 else numpy.full(values.shape, 0.5)
    # The last colour of the 256 is left to what is no number.
    indexes = numpy.where(finite, (shares * 254).round(), 255).astype("u1")
    source = base64.b64encode(_png(indexes)).decode()
    style = (
        "display:block;margin:4px 0;image-rendering:pixelated;border:1px solid var(--jp-border-color2,#8886);"
        f"width:min(100%,{max(192, min(480, 3 * indexes.shape[1]))}px)"
    )
    return f'<img src="data:image/png;base64,{source}" alt="{html.escape("Heat map: " + caption)}" style="{style}">'


def _png(indexes: ndarray[Any, Any]) -> bytes:
    """Write an image of palette indexes as PNG, uncompressed: what zlib makes of it differs between its builds."""
    height, width = indexes.shape
    rows = b"".join(b"\0" + row.tobytes() for row in indexes)
    stored = b"".join(
        struct.pack("<BHH", start + 0xFFFF >= len(rows), len(part), len(part) ^ 0xFFFF) + part
        for start in range(0, len(rows), 0xFFFF)
        for part in (rows[start : start + 0xFFFF],)
    )
    body = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, content)
        for kind, content in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", palette()[:-3] + b"\x80\x80\x80"),
            (b"tRNS", b"\xff" * 255 + b"\x00"),
            (b"IDAT", body),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
