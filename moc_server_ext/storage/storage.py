"""Opening a storage directory: puts the parts together, in the order that makes it safe, and takes them apart again.

::

    FORMAT.json            what the directory is; its instance id
    LOCK                   held by the one owner
    endpoint.json          where the owner listens, if it does
    catalog.sqlite3        what there is
    objects/ab/<id>        immutable bytes too large for the catalog
    tmp/                   files on their way into objects/
    staging/               chunks that another process on this machine writes for this one to take over
    reserve                room kept free, so that a full disk can be emptied
    token, authorization.header
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ..arrays.document import METADATA, group_document, own_facts, parse_document
from ..errors import CorruptStorageError, NotAStorageError, ReadOnlyStorageError, StorageError, StorageFullError
from ..model import CheckProgress, CheckReport
from .arrays import ByteArrays
from .blobs import StoredBlobs
from .buffer_writes import BufferWrites
from .buffers import StoredBuffers
from .catalog import Catalog
from .collector import GRACE_SECONDS, Collected, Collector, find_unknown
from .credentials import AUTHORIZATION_FILE, TOKEN_FILE, ensure_token, token_digest
from .endpoint import remove_endpoint
from .exporting import export_hierarchy
from .facts import Facts
from .files import DIRECTORY_MODE, failures, make_directory
from .filesystems import check_type, check_works, file_system_of, is_volatile
from .following import Following
from .garbage import Garbage, SteadyClock
from .integrity.fsck import fsck
from .integrity.quick import look
from .integrity.repairs import Repairs
from .keyvalue import StoredKeyValues
from .names import NameTable
from .objects import ObjectFile, Objects
from .open_logs import OpenLogs
from .ownership import FORMAT, LOCK_FILE, OwnerLock, check_directory, note_format, read_format, write_format
from .parts import PartsTable
from .quota import Quota
from .read_only import REASON, ReaderLock, is_read_only, open_catalog, read_token
from .relocating import Relocations
from .replication.source import StorageSource
from .replication.standby import read_standby
from .reserve import Reserve
from .shipping import Shipper
from .sizes import Sizes
from .table import ContentTable
from .upgrading import copy_before
from .versions import Versions
from .writes import WriteGroup, Writer
from .zarr_layout import BLOBS, BUFFERS, KEY_VALUES
from .zarr_session import ZarrSession
from .zarr_view import ZarrView
from .zarr_writes import ZarrKeys

if TYPE_CHECKING:
    from .zarr_store import StorageStore

CATALOG_FILE: Final = "catalog.sqlite3"
OBJECTS_DIRECTORY: Final = "objects"
TEMPORARY_DIRECTORY: Final = "tmp"
STAGING_DIRECTORY: Final = "staging"
RESERVE_FILE: Final = "reserve"
LAST_CHECK: Final = "last_check"


class Storage:
    """An open storage directory, owned by this process until :meth:`close`.

    Thread-safe. Not usable in a forked child, and not to be pickled: another process opens the directory after this one
    closed it, or becomes its client. Made by :meth:`open`.

    Attributes
    ----------
    path
        The directory, absolute and without symbolic links.
    instance_id
        Made with the directory, and never changed.
    blobs, buffers, kv, names
        What is stored.
    zarr
        All of it by Zarr key, read-only.
    token, token_file, authorization_file
        What those who listen on behalf of this storage ask for, and the files (0600) that hold it.
    """

    def __init__(
        self,
        path: Path,
        lock: OwnerLock | ReaderLock,
        instance_id: str,
        catalog: Catalog,
        objects: Objects,
        reserve: Reserve,
        token: str,
        closing: contextlib.ExitStack,
        *,
        grace_seconds: float = GRACE_SECONDS,
        storage_bytes: int = 0,
    ) -> None:
        self.path = path
        self.instance_id = instance_id
        self.token = token
        self.token_file = path / TOKEN_FILE
        self.authorization_file = path / AUTHORIZATION_FILE
        self._lock = lock
        self._damage = ""
        self._catalog = catalog
        self._objects = objects
        clock = SteadyClock()
        self._garbage = Garbage(catalog, clock)
        self._quota = Quota(catalog, self._garbage, storage_bytes)
        self._collector = Collector(
            catalog,
            self._garbage,
            objects,
            clock,
            grace_seconds,
            may_collect=lambda: self._writer.may_collect,
            is_pressing=self._quota.is_pressing,
        )
        objects.leases.seconds = grace_seconds
        objects.make_room = self._collector.make_room
        self._writer = Writer(catalog, objects, reserve, self._collector, self._quota, path)
        self.facts = Facts(catalog, self._writer)
        self._entries: ContentTable[str] = ContentTable("entries", catalog, objects)
        self._key_values: ContentTable[bytes] = ContentTable("keyvalues", catalog, objects)
        self.blobs = StoredBlobs(ByteArrays(BLOBS, "blob", self._entries), objects, self._writer)
        self._versions = Versions(self._entries, objects)
        buffer_writes = BufferWrites(self._entries, objects, self._writer, self._versions, path)
        self.buffers = StoredBuffers(
            self._versions,
            buffer_writes,
            path / STAGING_DIRECTORY,
            OpenLogs(PartsTable(catalog, objects), buffer_writes, self._writer),
            Relocations(self._entries, self._writer, self._versions),
        )
        self.kv = StoredKeyValues(self._key_values, self._writer)
        self.names = NameTable(catalog, self.blobs, self._writer)
        self._following = Following(catalog, objects, self._writer, self.names, self._versions)
        self._sizes = Sizes(self.facts)
        parts: ContentTable[str] = ContentTable("parts", catalog, objects)
        self._repairs = Repairs(
            catalog, objects, self._writer, self._entries, self.kv, parts, self.names, self._versions
        )
        self._closing = closing
        self.zarr = ZarrView(self._entries, self._key_values, objects, self._versions)
        self._zarr_keys = ZarrKeys(self.zarr, self._entries, objects, self._writer, self._versions, path)

    @classmethod
    def open(cls, path: Path, *, grace_seconds: float = GRACE_SECONDS, storage_bytes: int = 0) -> Self:
        """Open the storage directory `path`, making it if there is none, and own it.

        Parameters
        ----------
        grace_seconds
            How long an object file stays after nothing refers to it, for those who know its path.
        storage_bytes
            How much may be stored, in bytes; 0 is as much as there is room for.

        Raises
        ------
        LockedStorageError
            Another process owns it.
        NotAStorageError, StorageFormatError
            The directory holds something else, or was written by a newer moc. Nothing in it was touched.
        UnsuitableFileSystemError
            It lies where locks or fsync do not work. Nothing in it was touched.
        ReadOnlyStorageError, StorageFullError, CorruptStorageError, StorageError
            It cannot be made or written, or is damaged. Nothing is left open or locked.
        """
        path = _resolved(path)
        if is_read_only(path) and read_format(path) is not None:
            return cls._open_for_reading(path)
        check_type(path)
        with failures("the storage", path):
            make_directory(path)
            check_directory(path)
        lock = OwnerLock(path)
        try:
            return cls._open_owned(path, lock, grace_seconds, storage_bytes)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _open_owned(cls, path: Path, lock: OwnerLock, grace_seconds: float, storage_bytes: int) -> Self:
        # Once more, now that nobody else can change it.
        check_directory(path)
        with failures("the lock", path):
            check_works(path / LOCK_FILE)
        description = read_format(path) or write_format(path)
        instance_id: str = description["instance_id"]
        # Of an owner that died: it would lead clients to an address that answers no more, or to somebody else's.
        remove_endpoint(path)
        catalog_path = path / CATALOG_FILE
        objects = Objects(path / OBJECTS_DIRECTORY, path / TEMPORARY_DIRECTORY, path / STAGING_DIRECTORY)
        reserve = Reserve(path / RESERVE_FILE)
        # SQLite needs some room to open the catalog, and a full disk can only be emptied by one who has opened it.
        reserve.release()
        with failures("the storage", path):
            if path.stat().st_mode & 0o777 != DIRECTORY_MODE and path.stat().st_uid == os.geteuid():
                path.chmod(DIRECTORY_MODE)
            objects.prepare()
            # SQLite removes its log when the last connection is closed.
            ended_uncleanly = catalog_path.with_name(f"{CATALOG_FILE}-wal").exists()
            # The token is made after the catalog, so that a token without a catalog means that one was lost.
            catalog = Catalog(
                catalog_path,
                may_be_new=not (path / TOKEN_FILE).exists(),
                before_upgrade=lambda connection: copy_before(path, connection, FORMAT),
            )
        try:
            if description["format"] != FORMAT:
                note_format(path, description)
            storage = cls(
                path,
                lock,
                instance_id,
                catalog,
                objects,
                reserve,
                ensure_token(path),
                contextlib.ExitStack(),
                grace_seconds=grace_seconds,
                storage_bytes=storage_bytes,
            )
            if read_standby(path) is None:
                storage._check_identity()
            storage._look(ended_uncleanly=ended_uncleanly)
            reserve.restore()
            storage._collector.begin()
        except BaseException:
            catalog.close()
            raise
        return storage

    @classmethod
    def _open_for_reading(cls, path: Path) -> Self:
        description = read_format(path)
        assert description is not None  # noqa: S101 - the caller has looked
        if description["format"] != FORMAT:
            reason = f"{REASON}, and its format {description['format']} must be upgraded to {FORMAT} first"
            raise ReadOnlyStorageError(str(path), reason)
        with contextlib.ExitStack() as closing:
            lock = ReaderLock(path)
            closing.callback(lock.release)
            catalog = open_catalog(path / CATALOG_FILE, closing)
            closing.callback(catalog.close)
            objects = Objects(path / OBJECTS_DIRECTORY, path / TEMPORARY_DIRECTORY, path / STAGING_DIRECTORY)
            reserve = Reserve(path / RESERVE_FILE)
            instance_id = description["instance_id"]
            storage = cls(path, lock, instance_id, catalog, objects, reserve, read_token(path), contextlib.ExitStack())
            storage._check_identity()
            storage._writer.read_only_reason = REASON
            storage._closing = closing.pop_all()
        return storage

    def _make_groups(self) -> None:
        root = group_document({"moc": {"format": FORMAT, "instance_id": self.instance_id}})
        stored = self._entries.find(METADATA)
        # A storage that was upgraded says so here as well.
        if stored is not None and stored.inline == root:
            return
        with self.group() as group:
            self._entries.put(group, METADATA, root, what="the hierarchy")
            if stored is None:
                for name in (BLOBS, BUFFERS, KEY_VALUES):
                    self._entries.put(group, f"{name}/{METADATA}", group_document({}), what="the hierarchy")

    def _check_identity(self) -> None:
        """Refuse a catalog that belongs to another storage: its object files are not here."""
        stored = self._entries.find(METADATA)
        if stored is None or stored.inline is None:
            return
        found = own_facts(parse_document(stored.inline)).get("instance_id")
        restored = self.facts.get("restored_from")
        origin = restored.get("instance_id") if isinstance(restored, dict) else None
        if found not in (self.instance_id, origin):
            raise CorruptStorageError(
                f"the catalog {str(self.path / CATALOG_FILE)!r}",
                f"it belongs to the storage {found}, and this directory is {self.instance_id}",
            )

    def _look(self, *, ended_uncleanly: bool) -> None:
        """Look whether the storage is whole, and what is not goes to nobody; with damage it is only read."""
        with failures("the objects", self.path):
            present = self._objects.list_ids()
            self._damage = look(self._catalog, present, ended_uncleanly=ended_uncleanly)
            self._writer.read_only_reason = self._damage
            if self._damage:
                # Whatever lies here may be what somebody who mends it needs.
                return
            standby = read_standby(self.path)
            if standby is None:
                self._make_groups()
            else:
                self.refuse_writes(standby.reason)
            if ended_uncleanly:
                self._objects.sweep(self._garbage.known_object_ids())

    @property
    def read_only_reason(self) -> str:
        """Why nothing may be written; empty while it may."""
        return self._writer.read_only_reason

    def fsck(
        self, *, quick: bool = False, repair: bool = False, remove_damaged: bool = False
    ) -> Generator[CheckProgress, None, CheckReport]:
        """Check everything, in steps that tell how far it is; see :func:`~.integrity.fsck.fsck`.

        A storage that is read-only for its damage can be written again once nothing is missing.
        """
        report = yield from fsck(
            self._catalog, self._objects, self._repairs, quick=quick, repair=repair, remove_damaged=remove_damaged
        )
        # A damaged catalog is nothing that could be repaired here.
        is_legible = all(each.kind != "catalog_damaged" for each in report.findings)
        if is_legible and self._damage:
            self._look(ended_uncleanly=False)
        if not self.read_only_reason:
            found = len(report.findings) + report.more
            told = {"at": time.time(), "quick": quick, "sound": report.is_sound, "found": found}
            with contextlib.suppress(StorageFullError):
                self.facts.set(LAST_CHECK, told)
        return report

    def group(self) -> AbstractContextManager[WriteGroup]:
        """Collect writes that appear together or not at all: pass the group to them as ``group=``.

        Committed when the block ends; a block that raises leaves nothing. Use it from one thread.

        Raises
        ------
        MocError
            From the end of the block: the error of one write, or of the disk. Nothing of the group is visible.
        """
        return self._writer.group()

    def refuse_writes(self, reason: str) -> None:
        """Refuse every write from now on with ReadOnlyStorageError, which tells `reason`; empty allows them again."""
        self._writer.read_only_reason = reason

    def replication_source(self) -> StorageSource:
        """Give what replication reads, and writes about itself, in this storage."""
        return StorageSource(self, self._catalog, self._objects)

    def become_primary(self) -> None:
        """Accept writes of its own, after it has been a copy of another storage: it says then who it is."""
        self.refuse_writes("")
        self._make_groups()

    def hold_objects(self) -> AbstractContextManager[None]:
        """Keep every object file that the catalog refers to in the block, also when it is replaced meanwhile.

        For whoever reads many of them after having looked at the catalog once. From any thread, also from several.
        """
        return self._objects.pins.looking()

    def collect(self, *, ignore_grace: bool = False, dry_run: bool = False) -> Collected:
        """Remove the object files that nothing refers to, are due and are not held; tell what went and what did not.

        Done in the background as well. Parameters and errors are those of :meth:`~.collector.Collector.collect`;
        ReadOnlyStorageError where nothing may be written, unless nothing is to be removed.
        """
        if not dry_run and not self._writer.may_collect:
            raise ReadOnlyStorageError(str(self.path), self._writer.read_only_reason)
        return self._collector.collect(ignore_grace=ignore_grace, dry_run=dry_run)

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Collect, and tell of it as the web API does; a dry run tells of files that the catalog does not know as well.

        Those are what a crash left, and go at the opening after it.
        """
        told = {"dry_run": dry_run, **self.collect(dry_run=dry_run).to_json()}
        if dry_run:
            with failures("the objects", self.path):
                unknown = find_unknown(self._objects, self._garbage)
            told["unknown"] = {"objects": len(unknown), "bytes": sum(unknown.values())}
        return told

    def ship_to(self, shipper: Shipper | None, sequence: int) -> None:
        """Tell `shipper` of every commit from now on (see :meth:`~.writes.Writer.ship_to`)."""
        self._writer.ship_to(shipper, sequence)

    def sequence(self) -> int:
        """Tell the number of the last commit that was shipped or applied; 0 where there was none."""
        return self._following.sequence()

    def apply(self, changes: bytes, objects: Mapping[str, Path], sequence: int, *, leaps: bool = False) -> None:
        """Repeat a commit of another storage, of which this one is a copy (see :meth:`~.following.Following.apply`)."""
        self._following.apply(changes, objects, sequence, leaps=leaps)

    def copy_catalog(self, path: Path) -> None:
        """Write the catalog of this moment into the empty file `path`; see :meth:`.Catalog.copy_to`."""
        self._catalog.copy_to(path)

    def open_object(self, object_id: str) -> ObjectFile:
        """Open an object file, inside of :meth:`hold_objects`; FileNotFoundError if it is not there."""
        return self._objects.open(object_id)

    def accepted_tokens(self) -> list[str]:
        """Give the SHA-256 of each token that lets clients in besides its own: of instances it was restored from."""
        return [str(each) for each in self.facts.get("accepted_token_sha256") or []]

    def token_digests(self) -> list[str]:
        """Give the SHA-256 of each token that lets clients in."""
        return list(dict.fromkeys([token_digest(self.token), *self.accepted_tokens()]))

    @property
    def schedules_held(self) -> bool:
        """Whether nothing may be started by schedules, because another instance of the same content may do so."""
        return bool(self.facts.get("schedules_held"))

    def take_over(self) -> None:
        """Let schedules start from now on; idempotent. The instance that this one was restored from must be gone."""
        if self.schedules_held:
            self.facts.set("schedules_held", False)

    def zarr_store(self, path: str = "", *, read_only: bool = False) -> StorageStore:
        """Give the storage as a store of zarr-python: all of it is read, what is below ``buffers/`` is written.

        Each value that is set is durable then. Use it from any thread, but not from one that runs an event loop.

        Parameters
        ----------
        path
            Where the store has its root: empty for the whole hierarchy, ``buffers`` or ``buffers/NODE`` for a part.
        """
        from .zarr_store import StorageStore

        return StorageStore(self._zarr_keys, path, read_only=read_only)

    @contextlib.contextmanager
    def zarr_group(self, path: str = "") -> Iterator[StorageStore]:
        """Give such a store whose writes nobody else sees before the end of the block, when all of them appear at once.

        A block that raises leaves nothing. The store may be used by several threads, all of which end in the block.

        Raises
        ------
        MocError
            From the end of the block: the error of the disk. Nothing of the group is visible.
        """
        from .zarr_store import StorageStore

        session = ZarrSession(self._zarr_keys, self._writer)
        try:
            yield StorageStore(session, path)
            session.commit()
        finally:
            session.abandon()

    def export(self, directory: Path, *, progress: Callable[[int], None] | None = None) -> dict[str, int]:
        """Write all of it into a new or empty directory, as plain Zarr files; durable on return.

        Raises as :func:`~.exporting.export_hierarchy` does; nothing is left of an export that failed.
        """
        return export_hierarchy(self.zarr, directory, progress=progress)

    def status(self) -> dict[str, Any]:
        """Tell what is stored and how much room is left; sizes in bytes."""
        garbage, garbage_bytes = self._garbage.totals()
        stored_bytes = self._quota.stored_bytes()
        catalog_bytes = self._catalog.size()
        disk = os.statvfs(self.path)
        free_bytes = disk.f_bavail * disk.f_frsize
        return {
            "path": str(self.path),
            "file_system": file_system_of(self.path),
            "durable": not is_volatile(self.path),
            "read_only": self.read_only_reason,
            "format": FORMAT,
            "instance_id": self.instance_id,
            "blobs": self._entries.count_like(f"{BLOBS}/*/{METADATA}", f"{BLOBS}/*/*/{METADATA}"),
            "buffers": self._entries.count_like(f"{BUFFERS}/*/{METADATA}", f"{BUFFERS}/*/*/{METADATA}"),
            "keys": self._key_values.count(),
            "names": self.names.count(),
            "stored_bytes": stored_bytes,
            "quota_bytes": self._quota.limit_bytes or None,
            "garbage": {"objects": garbage, "bytes": garbage_bytes, "failure": self._collector.failure},
            "catalog_bytes": catalog_bytes,
            "free_bytes": free_bytes,
            "growth": self._sizes.growth(catalog_bytes + stored_bytes, free_bytes),
            "last_check": self.facts.get(LAST_CHECK),
            **self._history(),
        }

    def _history(self) -> dict[str, Any]:
        facts = {name: self.facts.get(name) for name in ("restored_from",)}
        told: dict[str, Any] = {name: value for name, value in facts.items() if value is not None}
        return {**told, "schedules_held": True} if self.schedules_held else told

    def hand_over_to(self, pid: int | None) -> None:
        """Name the process that opens the directory after :meth:`close`, for those who look for its owner meanwhile."""
        self._lock.successor = pid

    def close(self) -> None:
        """Write the log back, close every file and let another process own the directory; idempotent.

        Waits for a write in progress; later calls on the parts raise StorageError.
        """
        self._collector.close()
        self._catalog.close()
        self._versions.forget_all()
        self._objects.close()
        self._lock.release()
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("An open Storage cannot be pickled: it is owned by one process. Send its path or its endpoint.")


def _resolved(path: Path) -> Path:
    """Give the absolute path, which is that of a directory or of nothing yet."""
    try:
        resolved = Path(os.path.expanduser(path)).resolve()
        str(resolved).encode()  # SQLite takes no other names.
        is_something_else = _is_something_else(resolved)
    except (OSError, ValueError, RuntimeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeError) else getattr(error, "strerror", "") or error
        raise StorageError(
            f"{str(path)!r} cannot be a storage: {reason}. Choose another directory with --storage or MOC_STORAGE."
        ) from None
    if is_something_else:
        raise NotAStorageError(str(resolved), found=())
    return resolved


def _is_something_else(path: Path) -> bool:
    # Path.exists() would pass over what makes a path unusable, such as links that form a loop.
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
