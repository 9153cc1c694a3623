"""Zipped Zarr hierarchies from outside: which entries they have, checked before the first is unpacked.

Owns all that can be wrong with a zip file and the names in it. What the entries mean to Zarr is checked by the storage,
which takes them one by one.

References
----------
APPNOTE.TXT of the ZIP format, version 6.3.10: 4.3.16 "End of central directory record", 4.4.4 "general purpose bit
flag".
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final

from ..errors import BodyTooLargeError, InvalidInputError

ENTRIES_MAX: Final = 65_534
"""As many as the format counts without its 64-bit extension."""

_END: Final = struct.Struct("<4s4H2LH")
_END_SIGNATURE: Final = b"PK\5\6"
_LOCATOR_BYTES: Final = 20
_LOCATOR_SIGNATURE: Final = b"PK\6\7"
# Each entry of it becomes an object of several times its size before anything can be looked at.
_DIRECTORY_BYTES_MAX: Final = 8 << 20
_METHODS: Final = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
_ENCRYPTED: Final = 0x1
_KEY_BYTES_MAX: Final = 1024
# What the library raises for files that somebody made up.
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
_VERSION_2: Final = frozenset({".zarray", ".zgroup", ".zattrs", ".zmetadata"})


def zarr_entries(file: IO[bytes], *, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Give keys and values of a zipped Zarr v3 hierarchy, each value when it is asked for.

    Parameters
    ----------
    file
        The zip file, which can be read at any position; it must stay open meanwhile.
    max_bytes
        How much all values may have together.

    Raises
    ------
    BodyTooLargeError
        At once: unpacked it is larger than `max_bytes`.
    InvalidInputError
        At once: it is no zip file, or has something that a Zarr hierarchy has not. While it is iterated: a value is
        damaged.
    """
    _check_directory(file)
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGED as error:
        raise InvalidInputError(f"The body is no zip file that can be read: {error}.") from None
    entries = _checked(archive.infolist())
    if sum(each.file_size for _, each in entries) > max_bytes:
        raise BodyTooLargeError(max_bytes)
    return _values(archive, entries)


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a list of entries that is too long, before it is read: a library would read all of it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size - _LOCATOR_BYTES))
    end = file.read()
    if len(end) < _END.size:
        raise InvalidInputError("The body is no zip file: it is too short.")
    signature, _, _, _, count, directory_bytes, _, comment_bytes = _END.unpack(end[-_END.size :])
    if signature != _END_SIGNATURE or comment_bytes:
        raise InvalidInputError("The body is no zip file, or one with a comment, which is not taken.")
    if end.startswith(_LOCATOR_SIGNATURE) or count > ENTRIES_MAX or directory_bytes > _DIRECTORY_BYTES_MAX:
        raise InvalidInputError(
            f"The zip file lists too many entries: at most {ENTRIES_MAX:,}, whose names and extra fields take "
            f"{_DIRECTORY_BYTES_MAX >> 20} MiB at most. Choose larger chunks."
        )


def _checked(entries: list[zipfile.ZipInfo]) -> list[tuple[str, zipfile.ZipInfo]]:
    checked: dict[str, zipfile.ZipInfo] = {}
    for each in entries:
        # `filename` ends at the first NUL, and so would two names be one.
        name = each.orig_filename
        if name.endswith("/") and not each.file_size:
            continue  # A directory, which Zarr has no use for.
        _check_key(name)
        if name in checked:
            raise InvalidInputError(f"The zip file has {name!r} more than once.", key=name)
        if each.flag_bits & _ENCRYPTED:
            raise InvalidInputError(f"{name!r} in the zip file is encrypted.", key=name)
        if each.compress_type not in _METHODS:
            raise InvalidInputError(
                f"{name!r} in the zip file is compressed in a way that is not taken: entries are stored or deflated.",
                key=name,
            )
        checked[name] = each
    return list(checked.items())


def _check_key(name: str) -> None:
    """Refuse names that are no keys of a Zarr v3 hierarchy, whatever they would mean to a file system."""
    segments = name.split("/")
    if _VERSION_2.intersection(segments):
        raise InvalidInputError(
            f"{name!r} in the zip file belongs to version 2 of Zarr; expected version 3, with a zarr.json.", key=name
        )
    if (
        any(each.strip(".") == "" for each in segments)
        or not name.isprintable()
        or "\\" in name
        or len(name.encode(errors="surrogatepass")) > _KEY_BYTES_MAX
    ):
        raise InvalidInputError(
            f"{name[:200]!r} in the zip file is no Zarr key: expected names with slashes between them, printable, none "
            f"empty or of dots only, and {_KEY_BYTES_MAX:,} bytes at most.",
            key=name[:200],
        )


def _values(archive: zipfile.ZipFile, entries: list[tuple[str, zipfile.ZipInfo]]) -> Iterator[tuple[str, bytes]]:
    with archive:
        for name, entry in entries:
            try:
                with archive.open(entry) as content:
                    # Not without a size: that would unpack all that there is before the rest is cut off. At the end
                    # the checksum is compared.
                    value = content.read(entry.file_size + 1)
            except _DAMAGED as error:
                raise InvalidInputError(f"{name!r} in the zip file cannot be unpacked: {error}.", key=name) from None
            if len(value) != entry.file_size:
                raise InvalidInputError(f"{name!r} in the zip file is shorter than it says.", key=name)
            yield name, value
