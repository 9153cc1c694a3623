"""The protocols between the layers. Implementations are elsewhere; each proves itself by a suite in ``testing``.

Two groups:

- the **nouns** that the platform offers (`Functions`, `Blobs`, `Buffers`, `KeyValues`, `Calls`, `Runs`,
  `Backups`, together `Platform`).
  The cluster implements them in process, the client over HTTP; verbs and magics know only these;
- the **seams** inside (`GuestMemory`, `CallServices`, `Compiler`), through which lower layers reach what is above them.

All methods block; none may be called on an event loop's thread. All are safe to call from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from .model import (
    Activity,
    ArraySpec,
    BackupProgress,
    BackupRecord,
    BackupReport,
    BlobRecord,
    BoundImport,
    BufferRecord,
    CallRecord,
    CallRequest,
    CallResult,
    CheckProgress,
    CheckReport,
    Declaration,
    FunctionRecord,
    KvChange,
    KvPage,
    LogRecord,
    MapReduce,
    Number,
    RunRecord,
)

Bytes = bytes | bytearray | memoryview


# -- nouns ------------------------------------------------------------------------------------------------------------


class Functions(Protocol):
    """Names that point to executable blobs."""

    def put(self, name: str, content: bytes, declaration: Declaration = ..., content_type: str = ...) -> FunctionRecord:
        """Register `content` under `name`, replacing what was there; durable on return.

        Raises
        ------
        InvalidModuleError, MissingImportError
            The module cannot run here. Nothing was stored.
        """
        ...

    def get(self, name: str) -> FunctionRecord:
        """Look a function up; FunctionNotFoundError names the nearest ones."""
        ...

    def list(self) -> Sequence[FunctionRecord]:
        """List all functions, sorted by name."""
        ...

    def delete(self, name: str) -> None:
        """Remove the name; its blob stays."""
        ...


class Blobs(Protocol):
    """Immutable bytes by the SHA-256 of their content."""

    def put(self, content: Bytes | Iterable[Bytes], content_type: str = ...) -> BlobRecord:
        """Store `content`, bytes or the parts of them; durable on return; idempotent.

        What the iterator of the parts raises goes on, and nothing was stored.
        """
        ...

    def stat(self, blob_id: str) -> BlobRecord:
        """Look a blob up without reading it."""
        ...

    def read(self, blob_id: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``; a range beyond the end is cut off there."""
        ...

    def parts(self, blob_id: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts; see :meth:`Buffers.parts`."""
        ...


class OpenLog(Protocol):
    """A log that is appended to; a context manager that seals it, unless its block raises: then it stays open."""

    @property
    def record(self) -> LogRecord:
        """Its size and so on, as they are now."""
        ...

    def append(self, part: Bytes | Iterable[Bytes], *, offset: int | None = None) -> int:
        """Append one part; see :meth:`Buffers.append_log`."""
        ...

    def seal(self) -> BufferRecord:
        """Make the buffer of it; see :meth:`Buffers.seal_log`."""
        ...

    def abandon(self) -> None:
        """Remove it; see :meth:`Buffers.abandon_log`."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Buffers(Protocol):
    """Stored, named buffers."""

    def put(
        self,
        name: str,
        content: Bytes | Iterable[Bytes],
        content_type: str = ...,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
        compression: str | None = None,
    ) -> BufferRecord:
        """Store `content`, bytes or the parts of them, under `name`, replacing what was there; durable on return.

        With `array`, the content is that array's elements in C order, little-endian, and exactly as large
        (InvalidInputError); `origin` says what made it; with `compression` ``"zstd"`` chunks are stored compressed,
        others are refused (InvalidInputError). Readers never see half of it. What the iterator of the parts
        raises goes on, and nothing was changed.
        """
        ...

    def append(self, name: str, content: Bytes | Iterable[Bytes], array: ArraySpec) -> BufferRecord:
        """Make an array longer along its first axis, at once; durable on return.

        `array` says what comes: its data type and all axes but the first are those of the buffer (InvalidInputError).
        """
        ...

    def copy(self, old: str, new: str, *, overwrite: bool = False) -> BufferRecord:
        """Store a buffer under another name as well, at once; durable on return. No bytes are copied.

        A buffer that has the new name is replaced with `overwrite`, and else refused (ConflictError).
        """
        ...

    def rename(self, old: str, new: str, *, overwrite: bool = False) -> BufferRecord:
        """Give a buffer another name, as :meth:`copy` does."""
        ...

    def open_log(
        self,
        name: str,
        content_type: str = ...,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
    ) -> OpenLog:
        """Begin a buffer that is appended to in parts, each durable on return, and that is none before it is sealed.

        One log of a name is open at a time (ConflictError); `resume_log` goes on with it, also after a restart.
        """
        ...

    def resume_log(self, name: str) -> OpenLog:
        """Go on with an open log; LogNotFoundError if there is none."""
        ...

    def log(self, name: str) -> LogRecord:
        """Look an open log up."""
        ...

    def logs(self) -> Sequence[LogRecord]:
        """List the open logs, sorted by name."""
        ...

    def append_log(
        self,
        name: str,
        part: Bytes | Iterable[Bytes],
        content_type: str = ...,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
        log_id: str | None = None,
        offset: int | None = None,
    ) -> int:
        """Append one part, all of it or nothing; durable on return. Gives the size of the log then.

        The first part begins the log, unless `log_id` says to which one it belongs; `offset` is where it is to begin
        (ConflictError).
        """
        ...

    def seal_log(self, name: str, *, log_id: str | None = None) -> BufferRecord:
        """Make a log the buffer of its name, at once; durable on return."""
        ...

    def abandon_log(self, name: str, *, log_id: str | None = None) -> None:
        """Remove a log with all that was appended."""
        ...

    def put_zarr(
        self, name: str, entries: Iterable[tuple[str, bytes]], *, origin: Mapping[str, str] | None = None
    ) -> BufferRecord:
        """Store a whole Zarr v3 node, an array or a group, in place of what was there; durable on return.

        `entries` are keys relative to the node and their values; what is no such node is refused (InvalidInputError).
        """
        ...

    def stat(self, name: str) -> BufferRecord:
        """Look a buffer up without reading it."""
        ...

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``; a range beyond the end is cut off there."""
        ...

    def parts(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts, all of one version, so that they are never in memory all together.

        What makes the reading fail is raised here or while it is iterated, and always before the last part is given.
        """
        ...

    def list(self) -> Sequence[BufferRecord]:
        """List all buffers, sorted by name."""
        ...

    def delete(self, name: str) -> None:
        """Remove the buffer."""
        ...


class KeyValues(Protocol):
    """Durable bytes by key. Keys are 1 to 4,096 bytes, values up to 64 MiB; both are binary-safe."""

    def set(self, key: bytes, value: Bytes) -> None:
        """Store; durable on return."""
        ...

    def get(self, key: bytes) -> bytes:
        """Read; KeyNotFoundError if there is none."""
        ...

    def list(self, prefix: bytes = b"", *, limit: int = 1000, after: bytes | None = None) -> Sequence[bytes]:
        """List up to `limit` keys that begin with `prefix` and come after `after`, in bytewise order."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove; KeyNotFoundError if there is none."""
        ...

    def compare_and_set(self, key: bytes, expected: Bytes | None, value: Bytes | None) -> None:
        """Store `value` (None: remove) if the key has the value `expected` (None: is not there); durable on return.

        Raises
        ------
        KeyConflictError
            The key is not as expected. Nothing was changed.
        """
        ...

    def increment(self, key: bytes, by: int = 1) -> int:
        """Add `by` to a number, ASCII decimal of 64 bits, absent is 0; durable on return.

        Raises
        ------
        InvalidInputError
            The value is no such number, or the sum would be none. Nothing was changed.
        """
        ...

    def scan(self, prefix: bytes = b"", *, limit: int = 1000, after: bytes | None = None) -> KvPage:
        """Read up to `limit` keys, as :meth:`list` lists them, with their values, as of one moment.

        A page has up to 10,000 keys and 4 MiB, but at least one key; it says where the next one begins.
        """
        ...

    def apply(self, changes: Sequence[KvChange]) -> Sequence[int | None]:
        """Make up to 10,000 changes with up to 64 MiB in one transaction, in order; durable on return.

        Gives the sum of each increment, and None for the others.

        Raises
        ------
        KeyConflictError, KeyNotFoundError, InvalidInputError
            One of them cannot be made. Nothing was changed.
        """
        ...


class Hierarchy(Protocol):
    """All that is stored, as one Zarr v3 hierarchy, read-only: blobs, buffers and key-values by Zarr key."""

    def list(self, prefix: str = "", *, limit: int = 1000, after: str | None = None) -> Sequence[str]:
        """List up to `limit` keys that begin with `prefix` and come after `after`, in bytewise order."""
        ...

    def size(self, key: str) -> int | None:
        """Tell the size of a key's value in bytes; None if there is no such key."""
        ...

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read bytes ``[start, stop)`` of a key's value, cut off at the end; None if there is no such key.

        Raises
        ------
        CorruptStorageError
            The value is damaged, or is a chunk that was stored and is not there: a fill value would be a lie.
        """
        ...

    def read_whole(self, key: str) -> Bytes | None:
        """Read a key's value; None if there is no such key. What can be written to is the caller's own.

        Raises as :meth:`read` does.
        """
        ...


class Calls(Protocol):
    """Calls that run, and the last ones that ended. Those that guests make and the tasks of runs are not among them."""

    def get(self, call_id: str) -> CallRecord:
        """Tell how a call is; CallNotFoundError if there is none, or it is forgotten."""
        ...

    def list(self, *, limit: int = 1000) -> Sequence[CallRecord]:
        """List up to `limit` calls, those that began last first."""
        ...

    def cancel(self, call_id: str) -> CallRecord:
        """End a call and tell how it is then; one that has ended stays as it is."""
        ...


class Runs(Protocol):
    """Executions of plans."""

    def start(self, plan: MapReduce) -> RunRecord:
        """Begin a run in the background and return at once.

        Raises
        ------
        FunctionNotFoundError, BufferNotFoundError
            The plan names something that is not there. Nothing was started.
        """
        ...

    def get(self, run_id: str) -> RunRecord:
        """Tell how far a run is."""
        ...

    def output(self, run_id: str) -> bytes:
        """Give the output of a finished run; raises its error if it failed."""
        ...

    def list(self) -> Sequence[RunRecord]:
        """List the recent runs, newest first."""
        ...

    def cancel(self, run_id: str) -> RunRecord:
        """End a run; one that has ended stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class CallStreams:
    """The streams of a call whose caller feeds and drains them while it runs.

    Parameters
    ----------
    source
        Gives the input in parts, when the guest reads it; None takes the request's.
    output, stderr
        Get each part of the output and of stderr as it comes, and the call's result is then without it; None leaves
        it in the result. What they raise ends the call.
    begun
        Gets the call's id and what cancels the call from any thread; called when it begins, and before that with an
        empty id as long as there is none yet.
    """

    source: Iterator[bytes] | None = None
    output: Callable[[bytes], None] | None = None
    stderr: Callable[[bytes], None] | None = None
    begun: Callable[[str, Callable[[], None]], None] | None = None


class Backups(Protocol):
    """Copies of everything that is stored, in a target: a directory, or ``s3://bucket/prefix``.

    A target that is not named is the one that the server is configured with.
    """

    def create(
        self,
        target: str | None = None,
        *,
        keep: int | None = None,
        include_tls_key: bool = False,
        adopt: bool = False,
    ) -> Generator[BackupProgress, None, BackupRecord]:
        """Back everything up as it is at one moment, in steps; ending the generator ends it, and harms nothing.

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
            Something that is stored is damaged; it is named. The earlier backups are as they were.
        AccessDeniedError
            Who is not this user on the server's machine has backups made as they are configured, and no others.
        ConflictError, InvalidInputError
            A backup is being made; no target is named, and none configured.
        """
        ...

    def list(self, target: str | None = None) -> Sequence[BackupRecord]:
        """List the backups of a target, newest first; BackupTargetError if it has none or cannot be read."""
        ...

    def verify(
        self, target: str | None = None, backup_id: str | None = None
    ) -> Generator[BackupProgress, None, BackupReport]:
        """Read the newest backup of a target, or the named one, and check each byte of it, in steps.

        Raises
        ------
        BackupTargetError, BackupError
            There is no such backup, or it cannot be read; its manifest is damaged.
        """
        ...

    def take_over(self) -> None:
        """Let the schedules of a restored instance start; idempotent. The one it was restored from must be gone."""
        ...


class LocalBackups(Backups, Protocol):
    """Backups of a storage that this process owns."""

    def own_target(self) -> str | None:
        """Tell which target is configured."""
        ...

    def last(self) -> Mapping[str, Any] | None:
        """Tell which backup was the last one; None if there is none."""
        ...

    def is_proven(self, name: str) -> bool:
        """Tell whether a file `name` is in the staging directory, where only this user can put it; it is removed."""
        ...


class Platform(Protocol):
    """The whole platform as a caller sees it, in process or over HTTP."""

    @property
    def functions(self) -> Functions: ...
    @property
    def blobs(self) -> Blobs: ...
    @property
    def buffers(self) -> Buffers: ...
    @property
    def kv(self) -> KeyValues: ...
    @property
    def zarr(self) -> Hierarchy: ...
    @property
    def calls(self) -> Calls: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def backups(self) -> Backups: ...

    def call_sync(self, request: CallRequest, streams: CallStreams | None = None) -> CallResult:
        """Run a function and wait for its end. KeyboardInterrupt cancels it."""
        ...

    def status(self) -> dict[str, Any]:
        """Tell what runs: version, instance id, storage, counts."""
        ...

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Remove the object files that nothing refers to and that are due; tell what went, and what is held and why.

        Parameters
        ----------
        dry_run
            Remove nothing; tell what would go, and of the files that the catalog does not know.
        """
        ...

    def fsck(
        self, *, quick: bool = False, repair: bool = False, remove_damaged: bool = False
    ) -> Generator[CheckProgress, None, CheckReport]:
        """Check everything that is stored, in steps; ending the generator ends the check.

        Parameters
        ----------
        quick
            Read no object files: only their names and sizes are looked at.
        repair
            Remove the files that nothing refers to.
        remove_damaged
            Remove them, and what is damaged: whole buffers, blobs, values, and names whose blob is not there.

        Raises
        ------
        ReadOnlyStorageError, StorageFullError, StorageError
            Something could not be removed; what was removed until then is gone.
        """
        ...

    def promote(self) -> dict[str, Any]:
        """Make this standby the primary; ConflictError if it is none."""
        ...

    def close(self) -> None:
        """Let go of everything; idempotent."""
        ...


# -- what comes and goes in parts -------------------------------------------------------------------------------------

Record_co = TypeVar("Record_co", covariant=True)


class Receiver(Protocol[Record_co]):
    """A thing that is being stored while it comes; a context manager. One thread at a time."""

    def write(self, part: Bytes) -> None:
        """Take the next part.

        Raises
        ------
        InvalidInputError
            It is more than was announced. The receiving has ended, and nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The receiving has ended, and nothing is left of what came.
        """
        ...

    def commit(self) -> Record_co:
        """Store what came, as a whole; durable on return. Raises as :meth:`write` does."""
        ...

    def close(self) -> None:
        """End it; without a commit nothing is left of what came. Idempotent."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Content(Protocol):
    """One version of stored bytes, held open: it stays readable while the thing is replaced or removed."""

    @property
    def size(self) -> int:
        """Number of the bytes."""
        ...

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``; content that is read whole is checked (CorruptStorageError)."""
        ...

    def parts(self, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """Read the same in parts; whole content is checked before its last part is given. At their end it is closed."""
        ...

    def close(self) -> None:
        """Let go of it; idempotent. One that is dropped lets go by itself."""
        ...


class LocalBlobs(Blobs, Protocol):
    """What the process that owns the storage can do with blobs besides."""

    def receive(self, content_type: str = ...) -> Receiver[BlobRecord]:
        """Begin to store content that comes in parts."""
        ...

    def open(self, blob_id: str) -> tuple[BlobRecord, Content]:
        """Open a blob; raises as `read` does."""
        ...


class ArrayWriter(Protocol):
    """An array that is being written chunk by chunk; a context manager. Nothing of it is visible before its commit."""

    @property
    def array(self) -> ArraySpec:
        """What is being written."""
        ...

    def write_chunk(self, index: Sequence[int], content: Bytes) -> None:
        """Take one chunk, full or, at the array's edge, what counts of it; from any thread. It may come twice.

        Raises
        ------
        InvalidInputError
            There is no such chunk, or it has another size. Nothing of it was taken.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing is left of this chunk.
        """
        ...

    def commit(self) -> BufferRecord:
        """Store the array, of which each chunk was written (InvalidInputError), as a whole; durable on return."""
        ...

    def close(self) -> None:
        """End it; without a commit nothing is left of what came. Idempotent."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class ChunkFile(Protocol):
    """An immutable file that holds one chunk; its path is relative to the storage directory."""

    @property
    def file(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def crc32c(self) -> int: ...


class ChunkFiles(Protocol):
    """Where the chunks of one version of an array lie, for those who can read the storage directory themselves."""

    @property
    def etag(self) -> str:
        """What tells this version from all others."""
        ...

    @property
    def chunks(self) -> Mapping[str, ChunkFile]:
        """Files by the chunks' keys; small chunks have none."""
        ...


class LocalBuffers(Buffers, Protocol):
    """What the process that owns the storage can do with buffers besides."""

    def receive(
        self,
        name: str,
        content_type: str = ...,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
        compression: str | None = None,
    ) -> Receiver[BufferRecord]:
        """Begin to store content that comes in parts; InvalidInputError refuses the name or the headers at once.

        With `array`, the receiver refuses more bytes than that has when they come, and fewer at the commit.
        """
        ...

    def receive_part(
        self,
        name: str,
        content_type: str = ...,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
        log_id: str | None = None,
        offset: int | None = None,
    ) -> Receiver[int]:
        """Begin to take a part of a log that comes in pieces; raises as `append_log` does."""
        ...

    def write_array(
        self,
        name: str,
        array: ArraySpec,
        content_type: str = ...,
        headers: Mapping[str, str] | None = None,
        *,
        origin: Mapping[str, str] | None = None,
    ) -> ArrayWriter:
        """Begin to write an array chunk by chunk; InvalidInputError refuses the name or the headers at once."""
        ...

    def adopt(
        self,
        name: str,
        files: Mapping[str, str],
        array: ArraySpec,
        content_type: str = ...,
        headers: Mapping[str, str] | None = None,
        *,
        origin: Mapping[str, str] | None = None,
    ) -> BufferRecord:
        """Store an array whose chunks another process on this machine has staged as files; `files` are their names."""
        ...

    def chunk_files(self, name: str) -> ChunkFiles:
        """Tell where the chunks of an array lie; NoBytesError where they are not simply its elements."""
        ...

    def identify(self, name: str) -> tuple[BufferRecord, str]:
        """Look a buffer up, with what tells this version of it from all others."""
        ...

    def open_identified(self, name: str) -> tuple[BufferRecord, str, Content]:
        """Open a buffer, with what tells this version of it from all others; all three are of the same."""
        ...

    def glance(self, name: str) -> tuple[BufferRecord, str, Content] | None:
        """Do as :meth:`open_identified`, if that takes no waiting; the content raises BlockingIOError where it would.

        For an event loop's thread. None says nothing about whether there is such a buffer.
        """
        ...

    def open(self, name: str) -> tuple[BufferRecord, Content]:
        """Open a buffer: record and bytes are of the same version. Raises as `read` does."""
        ...


class LocalHierarchy(Hierarchy, Protocol):
    """What the process that owns the storage can do with the hierarchy besides."""

    def open(self, key: str) -> tuple[str, Content] | None:
        """Open the value of a key, with what tells it from all others that the key has had; None if there is none.

        Raises as :meth:`Hierarchy.read` does.
        """
        ...

    def consolidated(self, key: str) -> bytes | None:
        """Give a metadata document; that of a group below ``buffers`` with all that is below it inline."""
        ...

    def glance(self, key: str) -> tuple[str, Content] | None:
        """Do as :meth:`open`, if that takes no waiting; the content raises BlockingIOError where it would wait.

        For an event loop's thread. None says nothing about whether there is such a key.
        """
        ...


# -- seams ------------------------------------------------------------------------------------------------------------


class GuestMemory(Protocol):
    """A guest's linear memory during one call.

    Pointers and lengths are taken modulo 2**32, as the guest passed them. Every access is checked against the present
    size; one outside raises ``GuestErrno(EFAULT)`` and changes nothing.
    """

    def read(self, pointer: int, length: int) -> bytes: ...
    def write(self, pointer: int, content: Bytes) -> None: ...
    def check(self, pointer: int, length: int) -> None: ...
    def view(self, pointer: int, length: int) -> memoryview: ...
    def unpack(self, structure: Struct, pointer: int) -> tuple[Any, ...]: ...
    def read_u32(self, pointer: int) -> int: ...
    def read_u64(self, pointer: int) -> int: ...
    def write_u8(self, pointer: int, value: int) -> None: ...
    def write_u16(self, pointer: int, value: int) -> None: ...
    def write_u32(self, pointer: int, value: int) -> None: ...
    def write_u64(self, pointer: int, value: int) -> None: ...


class Place(Protocol):
    """What a call holds of the server while it runs."""

    def suspend(self) -> None:
        """Let another call be active: this one waits for something."""
        ...

    def resume(self) -> None:
        """Be active again."""
        ...

    def hold(self, memory_bytes: int, function: str) -> None:
        """Say how much memory the call's guests hold now; MemoryBudgetError when the call must end for it."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether the server's memory budget has anything left."""
        ...


class Observer(Protocol):
    """Is told what happens in a cluster.

    Its methods are called on whatever thread it happens on, while the caller waits: they must return at once. What one
    raises is logged once and hurts nobody.
    """

    def call_started(self, record: CallRecord) -> None:
        """Take note of a call that begins."""
        ...

    def call_ended(self, record: CallRecord) -> None:
        """Take note of a call that has ended, whichever way."""
        ...

    def run_ended(self, record: RunRecord) -> None:
        """Take note of a run that has ended, whichever way."""
        ...


class CallServices(Protocol):
    """What a guest may reach outside its call; the orchestrator implements it. Grants are checked by the guest API."""

    @property
    def functions(self) -> Functions: ...
    @property
    def blobs(self) -> LocalBlobs: ...
    @property
    def buffers(self) -> LocalBuffers: ...
    @property
    def kv(self) -> KeyValues: ...

    @property
    def zarr(self) -> Hierarchy: ...

    def activity(self) -> Activity:
        """Tell how busy the cluster is; never blocks."""
        ...

    @property
    def network(self) -> Any:
        """How requests of guests leave this machine: an ``egress.network.Network``."""
        ...

    def nested(self, parent: Any, request: CallRequest, numbers: tuple[Number, ...]) -> Any:
        """Resolve a call made by a guest into a child ``CallContext``.

        The child draws on what is left of its parent's limits. `numbers` are the arguments of a direct call. Raises
        the errors of resolving, and LimitExceededError beyond the call depth.
        """
        ...

    def bound(self, parent: Any, wanted: BoundImport, numbers: tuple[Number, ...]) -> Any:
        """Resolve a call through an import that is bound to a function, as :meth:`nested` does.

        Raises MissingImportError or NotGrantedError when the function does not satisfy the import any more.
        """
        ...


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a compiler made.

    Parameters
    ----------
    content
        The module.
    diagnostics
        Warnings, with the line numbers of the source; empty when there were none.
    """

    content: bytes
    content_type: str
    diagnostics: str


class Compiler(Protocol):
    """Turns the source of one language into a module."""

    language: str
    suffixes: tuple[str, ...]

    def compile(
        self,
        source: str,
        *,
        filename: str,
        first_line: int = 1,
        flags: Sequence[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> Compiled:
        """Compile one source text.

        Parameters
        ----------
        filename, first_line
            What the diagnostics call the source, and the number of its first line.
        flags
            Handed to the compiler as they are.
        progress
            Told, in a sentence, what takes long (such as the first build of a C library).

        Raises
        ------
        CompileFailedError
            The source is wrong; `diagnostics` says where.
        MissingExtraError
            The compiler is not installed.
        """
        ...

    def describe(self) -> str | None:
        """Name the compiler and its version, or None when it is not installed."""
        ...
