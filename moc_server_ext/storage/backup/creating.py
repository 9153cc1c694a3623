"""Making a backup while everything runs: a snapshot of the catalog, and the objects that it refers to.

The order is fixed: objects → list of objects and catalog → manifest. Whatever interrupts it, what was there stays
valid, and what was copied is not copied again.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw
import google_crc32c

from ...errors import BackupTargetError, CorruptStorageError, StorageError
from ...model.backups import BackupRecord
from ..files import NewFile, failures, remove
from ..targets.directory import DirectoryTarget
from ..targets.target import Target
from .copying import Progress, Work
from .keeping import prune
from .layout import (
    MANIFEST_FILE,
    OBJECTS_FILE,
    PARTIAL_FILE,
    TLS_FILE,
    Found,
    backup_key,
    catalog_key,
    claim,
    find_backups,
    object_key,
    object_sizes,
    read_objects,
    read_unfinished,
)
from .locking import TargetLock, locked
from .manifest import ListedObject, Manifest, dump_objects, new_backup_id, sha256_of

if TYPE_CHECKING:
    from ..storage import Storage

PART_BYTES: Final = 1 << 20
_NOTE_SECONDS: Final = 15.0
_BLOB_ID_LENGTH: Final = 64
# What the instance knows of itself and nobody else needs.
LOCAL_FACTS: Final = ("last_backup", "last_check", "sizes", "growth")

_REFERRED: Final = """
    SELECT object, size, crc32c FROM entries WHERE object NOT NULL
    UNION SELECT object, size, crc32c FROM keyvalues WHERE object NOT NULL
    UNION SELECT object, size, crc32c FROM parts WHERE object NOT NULL
"""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    path: Path
    sha256: str
    size: int
    objects: dict[str, tuple[int, int]]
    counts: dict[str, int]
    sequence: int


@dataclass(slots=True)
class _Copied:
    """What is in the target of what this backup needs."""

    listed: dict[str, ListedObject] = field(default_factory=dict)
    objects: int = 0
    bytes: int = 0


def create_backup(
    storage: Storage,
    target: Target,
    *,
    keep: int | None = None,
    include_tls_key: bool = False,
    adopt: bool = False,
    progress: Progress | None = None,
) -> BackupRecord:
    """Back `storage` up to `target`, as it is at one moment; durable on return. Others read and write meanwhile.

    Parameters
    ----------
    keep
        How many backups the target has afterwards; None keeps all.
    include_tls_key
        Whether the gateway's certificate and key come along.
    adopt
        Whether a target of another instance is taken over.

    Raises
    ------
    BackupTargetError
        The target refuses, is in use, is another instance's, or lies in the storage or around it.
    CorruptStorageError
        Something that is stored is damaged; it is named. There is no new backup; the earlier ones are as they were.
    """
    check_apart(storage.path, target)
    now = datetime.datetime.now(datetime.UTC)
    claim(target, storage.instance_id, now.isoformat(), adopt=adopt)
    with locked(target, "backup") as lock:
        found = find_backups(target)
        with storage.hold_objects(), _snapshot(storage) as snapshot:
            backup_id = new_backup_id(now)
            copied = _copy_objects(storage, target, snapshot, found, backup_id, progress)
            if target.size(catalog_key(snapshot.sha256)) != snapshot.size:
                target.put(catalog_key(snapshot.sha256), _file_parts(snapshot.path))
                copied.bytes += snapshot.size
        objects = dump_objects(copied.listed)
        target.put(backup_key(backup_id, OBJECTS_FILE), objects)
        tls = _tls_files(storage) if include_tls_key else None
        if tls is not None:
            target.put(backup_key(backup_id, TLS_FILE), tls)
        newest = found.newest()
        record = BackupRecord(
            id=backup_id,
            number=1 if newest is None else newest.record.number + 1,
            created_at=now.isoformat(timespec="seconds"),
            instance_id=storage.instance_id,
            sequence=snapshot.sequence,
            counts=snapshot.counts,
            objects=len(copied.listed),
            object_bytes=sum(each.size for each in copied.listed.values()),
            catalog_bytes=snapshot.size,
            copied_objects=copied.objects,
            copied_bytes=copied.bytes,
            has_tls_key=tls is not None,
            version=_version(),
        )
        manifest = Manifest(
            record,
            catalog_sha256=snapshot.sha256,
            objects_sha256=hashlib.sha256(objects).hexdigest(),
            token_sha256=tuple(storage.token_digests()),
            tls_sha256=None if tls is None else hashlib.sha256(tls).hexdigest(),
        )
        lock.check()
        target.put(backup_key(backup_id, MANIFEST_FILE), manifest.dump())
        target.delete(backup_key(backup_id, PARTIAL_FILE))
        _tidy(target, lock, found, manifest, keep, progress)
    return record


def check_apart(path: Path, target: Target) -> None:
    """Refuse a target that lies in the storage directory `path`, or around it; BackupTargetError says so."""
    if not isinstance(target, DirectoryTarget):
        return
    other = target.path.resolve()
    if other == path or other.is_relative_to(path) or path.is_relative_to(other):
        raise BackupTargetError(
            target.url,
            f"and the storage {str(path)!r} lie in one another: a backup belongs elsewhere, best on another disk",
        )


def _tidy(
    target: Target, lock: TargetLock, found: Found, manifest: Manifest, keep: int | None, progress: Progress | None
) -> None:
    found.manifests.append(manifest)
    if found.unfinished or (keep is not None and len(found.manifests) > keep):
        prune(target, lock, found, keep=keep, progress=progress)


# -- the catalog ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _snapshot(storage: Storage) -> Iterator[_Snapshot]:
    """Give the catalog of one moment as a file: equal for equal content, so that backups share it."""
    path = storage.path / "tmp" / f"backup-{secrets.token_hex(8)}"
    try:
        with failures("the catalog of the backup", storage.path):
            file = NewFile(path)
            file.seal()
        storage.copy_catalog(path)
        with contextlib.closing(apsw.Connection(str(path))) as connection:
            try:
                objects, counts, sequence = _looked_over(connection)
            except apsw.Error as error:
                raise StorageError(f"The copy of the catalog for the backup failed: {error}.") from error
        sha256, size = sha256_of(_file_parts(path))
        yield _Snapshot(path, sha256, size, objects, counts, sequence)
    finally:
        remove(path)


def _looked_over(connection: apsw.Connection) -> tuple[dict[str, tuple[int, int]], dict[str, int], int]:
    # Nobody else has the file, and a crash ends the backup as a whole.
    connection.execute("PRAGMA journal_mode = OFF").fetchall()
    connection.execute("PRAGMA synchronous = OFF").fetchall()
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    objects = {row[0]: (row[1], row[2]) for row in connection.execute(_REFERRED)}
    facts: dict[str, str] = dict(connection.execute("SELECT name, value FROM facts ORDER BY name").fetchall())
    sequence = json.loads(facts.get("sequence", "0"))
    connection.execute("BEGIN")
    connection.execute("DELETE FROM garbage")
    # All of them, and then those that stay: the page is then the same, whatever was there before.
    connection.execute("DELETE FROM facts")
    for name, value in facts.items():
        if name not in LOCAL_FACTS:
            connection.execute("INSERT INTO facts(name, value) VALUES (?, ?)", (name, value))
    connection.execute("COMMIT")
    return objects, count_things(connection), sequence if isinstance(sequence, int) else 0


def count_things(connection: apsw.Connection) -> dict[str, int]:
    """Count what a catalog has, for people and for a first look at a restored one."""
    count = "SELECT count(*) FROM entries WHERE key GLOB ? AND key NOT GLOB ?"
    queries: dict[str, tuple[str, tuple[str, ...]]] = {
        "blobs": (count, ("blobs/*/zarr.json", "blobs/*/*/zarr.json")),
        "buffers": (count, ("buffers/*/zarr.json", "buffers/*/*/zarr.json")),
        "keys": ("SELECT count(*) FROM keyvalues", ()),
        "names": ("SELECT count(*) FROM names", ()),
    }
    return {name: int(connection.execute(*query).fetchall()[0][0]) for name, query in queries.items()}


# -- objects ----------------------------------------------------------------------------------------------------------


def _copy_objects(
    storage: Storage, target: Target, snapshot: _Snapshot, found: Found, backup_id: str, progress: Progress | None
) -> _Copied:
    copied = _Copied()
    known = _known(target, found)
    there = object_sizes(target) if known else {}
    missing: list[str] = []
    for object_id, (size, _) in snapshot.objects.items():
        listed = known.get(object_id)
        if listed is not None and listed.size == size and there.get(object_id) == size:
            copied.listed[object_id] = listed
        else:
            missing.append(object_id)
    if not missing:
        return copied
    work = Work("copying objects", sum(snapshot.objects[each][0] for each in missing), progress)

    def copy(object_id: str) -> tuple[str, ListedObject]:
        size, crc32c = snapshot.objects[object_id]
        checked = _Checked(storage, object_id, size, crc32c)
        target.put(object_key(object_id), work.watched(checked))
        return object_id, ListedObject(size, checked.sha256)

    noted = time.monotonic()
    results = work.run(missing, copy)
    try:
        for object_id, listed in results:
            copied.listed[object_id] = listed
            copied.objects += 1
            copied.bytes += listed.size
            if time.monotonic() - noted > _NOTE_SECONDS:
                # Whoever goes on after an interruption need not copy these again.
                target.put(backup_key(backup_id, PARTIAL_FILE), dump_objects(copied.listed))
                noted = time.monotonic()
    except BaseException:
        with contextlib.suppress(BackupTargetError):
            target.put(backup_key(backup_id, PARTIAL_FILE), dump_objects(copied.listed))
        raise
    return copied


def _known(target: Target, found: Found) -> dict[str, ListedObject]:
    known = read_unfinished(target, found.unfinished)
    newest = found.newest()
    if newest is not None:
        # One that is damaged is no reason to have no new backup: everything is copied again then.
        with contextlib.suppress(ValueError):
            known.update(read_objects(target, newest))
    return known


class _Checked:
    """The bytes of an object, in parts: its last one is given only when all of them are what was stored."""

    def __init__(self, storage: Storage, object_id: str, size: int, crc32c: int) -> None:
        self._storage = storage
        self._object_id = object_id
        self._size = size
        self._crc32c = crc32c
        self.sha256 = ""

    def __iter__(self) -> Iterator[bytes]:
        what = f"the object {self._object_id}"
        try:
            file = self._storage.open_object(self._object_id)
        except FileNotFoundError:
            raise CorruptStorageError(what, "its file is missing") from None
        digest, checksum, position = hashlib.sha256(), 0, 0
        with contextlib.closing(file):
            while True:
                part = file.read(position, position + PART_BYTES)
                digest.update(part)
                checksum = google_crc32c.extend(checksum, part)
                position += len(part)
                if len(part) < PART_BYTES:
                    break
                if position < self._size:
                    yield part
                    part = b""
                elif position == self._size:
                    break
                else:
                    raise CorruptStorageError(what, f"its file is longer than {self._size:,} bytes")
            self.sha256 = digest.hexdigest()
            if position != self._size or checksum != self._crc32c:
                found = f"its file has {position:,} bytes instead of {self._size:,}"
                raise CorruptStorageError(what, "its checksum does not match" if position == self._size else found)
            if len(self._object_id) == _BLOB_ID_LENGTH and self.sha256 != self._object_id:
                raise CorruptStorageError(what, "its bytes are not those that its name tells")
            yield part


def _file_parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            yield part


# -- the rest ---------------------------------------------------------------------------------------------------------


def _tls_files(storage: Storage) -> bytes:
    files = {}
    for name in ("cert.pem", "key.pem"):
        with contextlib.suppress(FileNotFoundError):
            files[name] = (storage.path / "tls" / name).read_text("ascii")
    return json.dumps(files).encode()


def _version() -> str:
    from importlib.metadata import version

    return version("my-own-cluster")
