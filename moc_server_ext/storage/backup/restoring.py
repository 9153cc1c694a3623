"""Making a storage directory from a backup: checked while it is copied, and a storage only once it is whole.

The order: a marker → objects → catalog, with what the new instance is to know → ``FORMAT.json``. Without that last
file the directory is no storage, and a restore into it can be run again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ...errors import BackupError, ConflictError
from ...model.backups import BackupRecord
from ..catalog import Catalog
from ..files import FILE_MODE, NewFile, failures, make_directory, remove, replace_file, sync_directory
from ..ownership import FORMAT_FILE, LOCK_FILE, OwnerLock, write_format
from ..targets.target import Target
from .copying import Progress, Work
from .creating import check_apart
from .layout import TLS_FILE, backup_key, choose_backup, object_key, read_objects
from .manifest import ListedObject, Manifest
from .verifying import catalog_damage, fetch_catalog

MARKER_FILE: Final = "RESTORING.json"
RESTORED_FROM: Final = "restored_from"
SCHEDULES_HELD: Final = "schedules_held"
ACCEPTED_TOKENS: Final = "accepted_token_sha256"

_CATALOG: Final = "catalog.sqlite3"
# What an interrupted restore leaves, and nothing else may be there.
_OWN: Final = frozenset(
    {MARKER_FILE, f"{MARKER_FILE}.new", "objects", "tls", _CATALOG, f"{_CATALOG}-wal", f"{_CATALOG}-shm"}
)
_HARMLESS: Final = frozenset({LOCK_FILE, f"{FORMAT_FILE}.new", "lost+found"})


def restore_backup(
    target: Target, directory: Path, backup_id: str | None = None, *, progress: Progress | None = None
) -> BackupRecord:
    """Make `directory` a storage from the newest backup of `target`, or the named one; durable on return.

    It gets an instance id and a token of its own, and lets in those who hold a token of the instance that was backed
    up. Its schedules are held until somebody takes over.

    Parameters
    ----------
    directory
        New, empty, or where a restore was interrupted.

    Raises
    ------
    ConflictError
        The directory holds something. Nothing in it was touched.
    LockedStorageError
        Another process restores into it, or uses it.
    BackupTargetError
        There is no such backup, or the target cannot be read.
    BackupError
        The backup is damaged. The directory is no storage.
    StorageFullError, ReadOnlyStorageError, StorageError
        The directory cannot be written; it is no storage, and the restore can be run again.
    """
    directory = directory.expanduser().resolve()
    check_apart(directory, target)
    manifest = choose_backup(target, backup_id)
    with failures("the restored storage", directory):
        _check_empty(directory)
        make_directory(directory)
        lock = OwnerLock(directory)
        try:
            # Once more, now that nobody else restores into it.
            _check_empty(directory)
            _restore(target, manifest, directory, progress)
        finally:
            lock.release()
    if backup_id is None:
        _replay(target, directory)
    return manifest.record


def _replay(target: Target, directory: Path) -> None:
    """Repeat what a primary has shipped to the target since the backup."""
    # The storage needs this module, for what a promoted standby notes about itself.
    from ..replication.replaying import replay_log
    from ..storage import Storage

    with Storage.open(directory) as storage:
        replay_log(storage, target)


def _check_empty(directory: Path) -> None:
    try:
        found = {each.name for each in directory.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise ConflictError(f"{str(directory)!r} is no directory. Restore into a new or empty one.") from None
    allowed = _HARMLESS | _OWN if MARKER_FILE in found and FORMAT_FILE not in found else _HARMLESS
    strange = sorted(found - allowed)
    if strange:
        raise ConflictError(
            f"{str(directory)!r} is not empty: it holds {strange[0]!r}. A backup is restored into a new or empty "
            "directory only.",
            path=str(directory),
        )


def _restore(target: Target, manifest: Manifest, directory: Path, progress: Progress | None) -> None:
    record = manifest.record
    replace_file(directory / MARKER_FILE, json.dumps({"backup": record.id, "target": target.url}).encode())
    for name in _OWN - {MARKER_FILE}:
        left = directory / name
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            remove(left)
    try:
        listed = read_objects(target, manifest)
    except ValueError as error:
        raise BackupError(record.id, target.url, [str(error)]) from error
    work = Work("restoring", record.object_bytes + record.catalog_bytes, progress)
    _restore_objects(target, manifest, listed, directory / "objects", work)
    catalog = directory / _CATALOG
    problem = fetch_catalog(target, manifest, catalog, work)
    damage = [problem] if problem else list(catalog_damage(catalog, listed, record.counts))
    if damage:
        raise BackupError(record.id, target.url, damage)
    catalog.chmod(FILE_MODE)
    _restore_tls(target, manifest, directory / "tls")
    _note(catalog, manifest, target)
    sync_directory(directory)
    remove(directory / MARKER_FILE)
    write_format(directory)


def _restore_objects(
    target: Target, manifest: Manifest, listed: Mapping[str, ListedObject], objects: Path, work: Work
) -> None:
    parents = sorted({each[:2] for each in listed})
    make_directory(objects)
    for parent in parents:
        (objects / parent).mkdir(mode=0o700)

    def restore(item: tuple[str, ListedObject]) -> str | None:
        object_id, expected = item
        parts = target.read(object_key(object_id))
        if parts is None:
            return f"the object {object_id} is missing"
        digest, size = hashlib.sha256(), 0
        file = NewFile(objects / object_id[:2] / object_id)
        try:
            for part in work.watched(parts):
                digest.update(part)
                size += len(part)
                file.write(part)
            file.seal()
        except BaseException:
            file.discard()
            raise
        is_right = size == expected.size and digest.hexdigest() == expected.sha256
        return None if is_right else f"the object {object_id} is not what was written"

    damage = [each for each in work.run(listed.items(), restore) if each is not None]
    if damage:
        raise BackupError(manifest.record.id, target.url, damage)
    for parent in parents:
        sync_directory(objects / parent)
    sync_directory(objects)


def _restore_tls(target: Target, manifest: Manifest, directory: Path) -> None:
    if manifest.tls_sha256 is None:
        return
    damage = ["the gateway's key is missing or is not what was written"]
    content = target.get(backup_key(manifest.record.id, TLS_FILE))
    if content is None or hashlib.sha256(content).hexdigest() != manifest.tls_sha256:
        raise BackupError(manifest.record.id, target.url, damage)
    files: Any = json.loads(content)
    if not isinstance(files, dict) or not all(isinstance(each, str) for each in files.values()):
        raise BackupError(manifest.record.id, target.url, damage)
    make_directory(directory)
    for name in ("cert.pem", "key.pem"):
        if name in files:
            replace_file(directory / name, files[name].encode())


def _note(path: Path, manifest: Manifest, target: Target) -> None:
    """Tell the new instance where it comes from, whom to let in, and that another one may still run the schedules."""
    record = manifest.record
    facts = {
        RESTORED_FROM: {
            "instance_id": record.instance_id,
            "backup": record.id,
            "target": target.url,
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
        SCHEDULES_HELD: True,
        ACCEPTED_TOKENS: list(manifest.token_sha256),
    }
    # It is upgraded here if it is of an earlier format.
    catalog = Catalog(path, may_be_new=False)
    try:
        with catalog.writing(), catalog.transaction("what the restored storage knows of itself") as connection:
            for name, value in facts.items():
                connection.execute("INSERT OR REPLACE INTO facts(name, value) VALUES (?, ?)", (name, json.dumps(value)))
    finally:
        catalog.close()
