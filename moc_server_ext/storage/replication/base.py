"""From a backup, which the log continues, and from objects on the target, to what a standby stores.

A standby that cannot go on from where it is compares its catalog with that of the base (:func:`difference`), and
applies what differs as one commit: whatever it was before, it is the base then, while it goes on to serve.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import apsw
import google_crc32c

from ...errors import BackupTargetError, CorruptStorageError
from ..backup.layout import catalog_key, choose_backup, object_key
from ..backup.manifest import Manifest
from ..files import NewFile, failures
from ..shipping import SHIPPED_TABLES
from ..targets.target import Target
from .log import Base
from .records import ShippedObject

_PART_BYTES: Final = 1 << 20
_COPIES: Final = 4
_CONTENT_TABLES: Final = ("entries", "keyvalues", "parts")


def fetch_catalog(target: Target, base: Base, path: Path) -> Manifest:
    """Bring a base's catalog into the new file `path`; give what the backup says of itself.

    Raises
    ------
    BackupTargetError
        It is not there, or not what was put there.
    """
    manifest = choose_backup(target, base.backup)
    key = catalog_key(manifest.catalog_sha256)
    found = _fetch(target, key, path)
    if found is None or found.sha256.hexdigest() != manifest.catalog_sha256:
        path.unlink(missing_ok=True)
        raise BackupTargetError(target.url, f"{key!r} is missing or damaged", what="be read")
    return manifest


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
