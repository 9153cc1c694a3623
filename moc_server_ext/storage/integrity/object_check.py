"""The object files, checked against what the catalog says of them: there, of their size, and what was stored.

A file that was replaced by another of the same size differs in its checksum; that of a blob has its SHA-256 for its
name, which nobody can forge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator
from typing import Final

import google_crc32c

from ...model import Finding
from ..objects import ObjectFile, Objects
from .catalog_check import Reference
from .stored_things import Thing

_PART_BYTES: Final = 1 << 20
_BLOB_ID_LENGTH: Final = 64

Found = tuple[Finding, Thing]


def check_objects(
    references: Iterable[Reference], objects: Objects, *, quick: bool
) -> Generator[int, None, list[Found]]:
    """Check object files, each once however many rows share it; inside of :meth:`.Objects.pins.looking`.

    Parameters
    ----------
    quick
        Look at sizes only.

    Yields
    ------
    int
        How many bytes more were checked, by the word of the catalog.
    """
    sharing: dict[str, list[Reference]] = {}
    for each in references:
        sharing.setdefault(each.object_id, []).append(each)
    found: list[Found] = []
    for object_id, rows in sharing.items():
        size = rows[0].size
        if quick:
            found += _compare(rows, objects.size(object_id), None, "")
            yield size
            continue
        try:
            file = objects.open(object_id)
        except FileNotFoundError:
            found += _compare(rows, None, None, "")
            yield size
            continue
        except OSError as error:
            found += _unreadable(rows, error)
            yield size
            continue
        try:
            found += yield from _check(file, rows)
        finally:
            file.close()
    return found


def _check(file: ObjectFile, rows: list[Reference]) -> Generator[int, None, Iterator[Found]]:
    size, object_id = rows[0].size, rows[0].object_id
    checksum = position = 0
    digest = hashlib.sha256() if len(object_id) == _BLOB_ID_LENGTH else None
    try:
        while part := file.read(position, position + _PART_BYTES):
            checksum = google_crc32c.extend(checksum, part)
            if digest is not None:
                digest.update(part)
            position += len(part)
            yield max(0, min(len(part), size - position + len(part)))
    except OSError as error:
        yield max(0, size - position)
        return _unreadable(rows, error)
    yield max(0, size - position)
    forged = digest is not None and digest.hexdigest() != object_id
    return _compare(rows, position, checksum, "its SHA-256 is not its id" if forged else "")


def _compare(rows: list[Reference], size: int | None, checksum: int | None, wrong: str) -> Iterator[Found]:
    for row in rows:
        file = f"its file {row.object_id}"
        if size is None:
            yield Finding("object_missing", row.thing.what, f"{file} is missing"), row.thing
        elif size != row.size:
            yield (
                Finding("object_cut", row.thing.what, f"{file} has {size:,} bytes; {row.size:,} were stored"),
                row.thing,
            )
        elif checksum is not None and checksum != row.crc32c:
            yield Finding("object_changed", row.thing.what, f"{file} does not match its checksum"), row.thing
        elif wrong:
            yield Finding("object_changed", row.thing.what, f"{file}: {wrong}"), row.thing


def _unreadable(rows: list[Reference], error: OSError) -> Iterator[Found]:
    for row in rows:
        reason = f"its file {row.object_id} cannot be read: {error.strerror}"
        yield Finding("object_unreadable", row.thing.what, reason), row.thing
