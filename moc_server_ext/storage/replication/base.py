"""Bases: the whole of a storage on a target, which its log continues, and the way from one state to another.

Owns the snapshot of the catalog and what it refers to. Objects and catalogs lie where backups have theirs::

    objects/ab/<object id>
    catalogs/<sha256>.sqlite3

A standby that cannot go on from where it is compares its catalog with that of the base (:func:`difference`), and
applies what differs as one commit: whatever it was before, it is the base then, while it goes on to serve.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import apsw
import google_crc32c

from ...errors import BackupTargetError, CorruptStorageError, StorageError
from ..files import NewFile, failures
from ..shipping import SHIPPED_TABLES
from ..targets.target import Target
from .records import ShippedObject

_PART_BYTES: Final = 1 << 20
_COPIES: Final = 4
_CONTENT_TABLES: Final = ("entries", "keyvalues", "parts")


def object_key(object_id: str) -> str:
    """Tell where an object lies on a target."""
    return f"objects/{object_id[:2]}/{object_id}"


def catalog_key(digest: str) -> str:
    """Tell where a catalog lies on a target."""
    return f"catalogs/{digest}.sqlite3"


def take_snapshot(catalog: Path, snapshot: Path) -> int:
    """Copy the catalog as of one moment into the new file `snapshot`; give the last sequence that it holds.

    Raises
    ------
    StorageError
        The snapshot cannot be written.
    """
    try:
        source = apsw.Connection(str(catalog), flags=apsw.SQLITE_OPEN_READONLY)
        copy = apsw.Connection(str(snapshot))
        try:
            # In one step: by pages, it would begin anew with each commit.
            with copy.backup("main", source, "main") as backup:
                backup.step()
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
            copy.execute("DELETE FROM garbage")
            rows = copy.execute("SELECT value FROM facts WHERE name = 'sequence'").fetchall()
        finally:
            copy.close()
            source.close()
    except apsw.Error as error:
        raise StorageError(f"A snapshot of the catalog failed: {error}.", what="a base") from error
    return int(json.loads(str(rows[0][0]))) if rows else 0


def make_base(target: Target, snapshot: Path, instance_id: str, object_path: Callable[[str], Path]) -> str:
    """Copy a catalog and all objects that it refers to; give the catalog's SHA-256. What is there is not copied again.

    Raises
    ------
    BackupTargetError, CorruptStorageError, StorageError
        It is not complete; what was copied stays, and the next time goes on from there.
    """
    target.put_new("moc-target.json", _description(instance_id))
    present = dict(target.list("objects/"))
    missing = [each for each in _referred_objects(snapshot) if present.get(object_key(each[0])) != each[1]]
    with ThreadPoolExecutor(_COPIES) as copies:
        list(copies.map(lambda each: _copy_object(target, object_path(each[0]), *each), missing))
    with failures("a base", snapshot.parent):
        digest = hashlib.sha256()
        for part in _parts(snapshot):
            digest.update(part)
        key = catalog_key(digest.hexdigest())
        if target.size(key) != snapshot.stat().st_size:
            target.put(key, _parts(snapshot))
    return digest.hexdigest()


def fetch_catalog(target: Target, digest: str, path: Path) -> None:
    """Bring a base's catalog into the new file `path`.

    Raises
    ------
    BackupTargetError
        It is not there, or not what was put there.
    """
    found = _fetch(target, catalog_key(digest), path)
    if found is None or found.sha256.hexdigest() != digest:
        path.unlink(missing_ok=True)
        raise BackupTargetError(target.url, f"{catalog_key(digest)!r} is missing or damaged", what="be read")


def fetch_object(target: Target, wanted: ShippedObject, path: Path) -> None:
    """Bring an object into the new file `path`, durably, and check it.

    Raises
    ------
    BackupTargetError
        It is not there, or not what was put there. Nothing is left at `path`.
    """
    found = _fetch(target, object_key(wanted.object_id), path)
    if found is None or (found.size, found.crc32c) != (wanted.size, wanted.crc32c):
        path.unlink(missing_ok=True)
        raise BackupTargetError(target.url, f"{object_key(wanted.object_id)!r} is missing or damaged", what="be read")


def difference(base: Path, own: Path) -> tuple[bytes, list[ShippedObject]]:
    """Tell what makes a catalog the base's: a changeset, and the objects that only the base refers to.

    Parameters
    ----------
    base, own
        The files of the two catalogs; `own` may be in use.

    Raises
    ------
    CorruptStorageError
        The base is no catalog of this format.
    """
    try:
        connection = apsw.Connection(str(base), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            if connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
                raise CorruptStorageError("the base of the replication log", "its catalog is damaged")
            connection.execute("ATTACH ? AS own", (str(own),))
            with apsw_session(connection) as session:
                for table in SHIPPED_TABLES:
                    session.attach(table)
                    session.diff("own", table)
                changes = session.changeset()
            columns = " UNION ".join(
                f"SELECT object, size, crc32c FROM main.{each} WHERE object NOT NULL"  # noqa: S608 - own names
                for each in _CONTENT_TABLES
            )
            objects = [ShippedObject(*row) for row in connection.execute(columns)]
        finally:
            connection.close()
    except apsw.Error as error:
        raise CorruptStorageError("the base of the replication log", str(error)) from error
    return changes, objects


class apsw_session:  # noqa: N801 - a context manager, used like a function
    """A session that is closed before its connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._session = apsw.Session(connection, "main")

    def __enter__(self) -> apsw.Session:
        return self._session

    def __exit__(self, *failure: object) -> None:
        self._session.close()


class _Fetched:
    def __init__(self) -> None:
        self.size = 0
        self.crc32c = 0
        self.sha256 = hashlib.sha256()


def _fetch(target: Target, key: str, path: Path) -> _Fetched | None:
    parts = target.read(key)
    if parts is None:
        return None
    found = _Fetched()
    with failures(f"{key!r} of the replication target", path.parent):
        file = NewFile(path)
        try:
            for part in parts:
                file.write(part)
                found.size += len(part)
                found.crc32c = google_crc32c.extend(found.crc32c, part)
                found.sha256.update(part)
            file.seal()
        except BaseException:
            file.discard()
            raise
    return found


def _copy_object(target: Target, path: Path, object_id: str, size: int, crc32c: int) -> None:
    checksum = 0

    def parts() -> Iterator[bytes]:
        nonlocal checksum
        checksum = 0
        for part in _parts(path):
            checksum = google_crc32c.extend(checksum, part)
            yield part

    try:
        target.put(object_key(object_id), parts())
    except FileNotFoundError:
        raise CorruptStorageError(f"the object {object_id}", "its file is missing") from None
    if checksum != crc32c:
        target.delete(object_key(object_id))
        raise CorruptStorageError(f"the object {object_id}", "its checksum does not match")


def _referred_objects(catalog: Path) -> list[tuple[str, int, int]]:
    connection = apsw.Connection(str(catalog), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        union = " UNION ".join(
            f"SELECT object, size, crc32c FROM {each} WHERE object NOT NULL"  # noqa: S608 - own names
            for each in _CONTENT_TABLES
        )
        return list(connection.execute(union))
    finally:
        connection.close()


def _description(instance_id: str) -> bytes:
    return json.dumps({"kind": "moc backup", "format": 1, "instance_id": instance_id}).encode() + b"\n"


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while part := file.read(_PART_BYTES):
            yield part
