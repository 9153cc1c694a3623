"""What an inspector looks at: one version of a stored buffer, and the facts that are told of it.

A buffer can be replaced or deleted while somebody looks at it. Everything is therefore read as of the version that was
opened, and what was read of another one is never given out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from moc_server_ext.errors import CallNotFoundError, ConflictError, MocError

from .elements import Elements, elements_of
from .page import printable
from .sniff import JPEG, PNG, SVG, decode_text, image_type, media_type

if TYPE_CHECKING:
    from moc_server_ext.client.handles import BufferHandle
    from moc_server_ext.model import ArraySpec, BufferRecord

FIRST_BYTES: Final = 16 << 10
"""How many bytes are told with the facts."""

IMAGE_BYTES: Final = 32 << 20
"""A larger image is not handed to a browser."""

_TEXT_BYTES: Final = 4096
_MOST_HEADERS: Final = 200
_MOST_MEMBERS: Final = 1000
_VALUE_CHARACTERS: Final = 4096


@dataclass(frozen=True, slots=True)
class Version:
    """One content of a buffer: what is told of it, and how it begins."""

    about: Mapping[str, Any]
    first: bytes
    record: BufferRecord


class ReplacedError(ConflictError):
    """The buffer was replaced since it was opened. What was read is not given out."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Buffer {_short(name, 80)!r} has been replaced since it was opened here.")


class Subject:
    """A buffer under inspection. Thread-safe; everything blocks.

    Parameters
    ----------
    handle
        The buffer; it need not be there any more.
    """

    def __init__(self, handle: BufferHandle) -> None:
        self.name = handle.name
        self._handle = handle
        self._version: Version | None = None

    def open(self) -> Version:
        """Look at the buffer as it is now; from here on it is this version that is read.

        Raises
        ------
        BufferNotFoundError, ServerUnreachableError
            It is not there, or cannot be asked for. The version before stays the one that is read.
        """
        while True:
            record = self._handle.record
            first = self._handle.read(0, FIRST_BYTES) if _has_bytes(record) else b""
            if record == self._handle.record:
                break
        version = Version(self._tell(record, first), first, record)
        self._version = version
        return version

    @property
    def version(self) -> Version:
        """The version that is read."""
        if self._version is None:
            return self.open()
        return self._version

    def read(self, start: int, stop: int) -> bytes:
        """Read bytes ``[start, stop)``, cut off at the end; raises ReplacedError if they are of another version."""
        expected = self.version.record
        content = self._handle.read(min(start, expected.size), min(stop, expected.size))
        self.check()
        return content

    def read_fast(self, start: int, stop: int) -> bytes:
        """Read bytes for a work of many reads, at whose end :meth:`check` is called."""
        return self._handle.read(start, stop)

    def check(self) -> None:
        """Raise ReplacedError unless the buffer still is what was opened."""
        # Asked for behind the reading: what was read before is then of this version as well.
        if self.version.record != self._handle.record:
            raise ReplacedError(self.name)

    def image(self) -> tuple[bytes, str]:
        """Read it whole, as an image that a browser may show, with its content type."""
        record = self.version.record
        if record.size > IMAGE_BYTES:
            raise ConflictError(f"It is too large to be shown as an image: {record.size:,} of {IMAGE_BYTES:,} bytes.")
        content = self.read(0, record.size)
        kind = image_type(content, record.content_type)
        if kind is None:
            raise ConflictError("It begins like an image, but is cut off, damaged or has too many pixels.")
        return content, kind

    def elements(self, *, member: str, dtype: str, big_endian: bool) -> Elements:
        """Give its elements, or its bytes as elements of `dtype`; see :func:`.elements.elements_of`."""
        record = self.version.record
        array, members = record.array, record.arrays
        return elements_of(self._handle, record.size, array, members, member=member, dtype=dtype, big_endian=big_endian)

    def _tell(self, record: BufferRecord, first: bytes) -> dict[str, Any]:
        array, members = record.array, record.arrays
        views = ["hex", "text"] if _has_bytes(record) else []
        views.append("array")
        image = self._may_be_image(record, first) if array is None and not members else False
        if image:
            views.append("image")
        if array is not None or members:
            fits = "array"
        elif image:
            fits = "image"
        elif record.size and decode_text(first[:_TEXT_BYTES], whole=record.size <= _TEXT_BYTES) is not None:
            fits = "text"
        else:
            fits = "hex"
        return {
            "name": record.name,
            "size": str(record.size),
            "content_type": record.content_type,
            "created_at": record.created_at,
            "headers": [[_short(key), _short(value)] for key, value in list(record.headers.items())[:_MOST_HEADERS]],
            "origin": self._origin(record),
            "views": views,
            "view": fits,
            "array": _array_facts("", array) if array is not None else None,
            "members": [_array_facts(path, spec) for path, spec in list(members.items())[:_MOST_MEMBERS]],
        }

    def _is_text(self, record: BufferRecord, first: bytes) -> bool:
        return decode_text(first[:_TEXT_BYTES], whole=record.size <= _TEXT_BYTES) is not None

    def _may_be_image(self, record: BufferRecord, first: bytes) -> bool:
        if record.size > IMAGE_BYTES:
            return False
        if media_type(record.content_type) != SVG and not first.startswith((b"\x89PNG", b"\xff\xd8\xff")):
            return False
        # A PNG tells at its beginning what it is, a JPEG at its end as well.
        tail = b"" if record.size <= len(first) else self._handle.read(record.size - 2, record.size)
        return image_type(first + tail, record.content_type) in (PNG, JPEG, SVG)

    def _origin(self, record: BufferRecord) -> list[list[str]]:
        """Tell who made it, and of a call what the platform still knows."""
        origin: Mapping[str, str] = record.origin
        facts = [[_short(key), _short(value)] for key, value in origin.items()]
        call_id = origin.get("call_id")
        if call_id:
            try:
                call = self._handle._client.platform.calls.get(call_id)
            except CallNotFoundError:
                return facts
            except MocError:
                return facts  # Who made it is a side matter: what is wrong shows itself when the bytes are read.
            facts.append(["state", call.state.value])
            facts.append(["duration", f"{call.duration_us / 1000:,.1f} ms"])
            if call.exit_code is not None:
                facts.append(["exit code", str(call.exit_code)])
        return facts


def _has_bytes(record: BufferRecord) -> bool:
    """Tell whether it can be read as bytes: a group without a main array cannot."""
    return not record.arrays or record.array is not None


def _array_facts(path: str, spec: ArraySpec) -> dict[str, Any]:
    attributes = list(spec.attributes.items())[:_MOST_HEADERS]
    return {
        "path": path,
        "dtype": spec.dtype,
        "shape": [str(each) for each in spec.shape],
        "chunks": [str(each) for each in spec.chunks],
        "dims": [_short(each, 80) if each else "" for each in spec.dimension_names or ()],
        "attributes": [[_short(key), _short(_text(value))] for key, value in attributes],
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(text: str, most: int = _VALUE_CHARACTERS) -> str:
    return printable(text if len(text) <= most else text[: most - 1] + "…", keep="")
