"""A disk that fills up: a real one, and every single step of the write protocol refused in turn.

A refused write raises StorageFullError, nothing of it is visible, no file is left behind, and the next one works.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

from moc_server_ext.errors import KeyNotFoundError, ReadOnlyStorageError, StorageError, StorageFullError
from moc_server_ext.model import parse_array
from moc_server_ext.storage import Storage
from moc_server_ext.storage.zarr_layout import bytes_document

LARGE = 100_000
ARRAY = parse_array("uint8", [2, 3 * LARGE], [1, 3 * LARGE])
GRIDDED = parse_array("uint8", [6, LARGE], [4, LARGE // 2])
ZARR_NODE = [("c/0", b"new" * LARGE), ("zarr.json", bytes_document(3 * LARGE, {}))]


def contents(storage: Storage) -> dict[str, Any]:
    """Read all that is visible."""
    found: dict[str, Any] = {key: storage.zarr.read(key) for key in storage.zarr.list_prefix()}
    assert None not in found.values()
    return {**found, "names": storage.names.list()}


def files(path: Path) -> set[str]:
    """List the object files and what is being staged."""
    return {str(each.relative_to(path)) for each in path.rglob("*") if each.is_file() and each.parent != path}


class Faults:
    """Counts the steps of the write protocol, and refuses the one with the number `refused`, or all from that one on.

    The steps are the system calls of the object files and those that SQLite makes for the catalog.
    """

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.refused: int | None = None
        self.stays_full = False
        self.errno = errno.ENOSPC
        self.ids = itertools.count()

    def step(self, name: str) -> None:
        self.steps.append(name)
        number = len(self.steps) - 1
        if self.refused is not None and (number == self.refused or (self.stays_full and number > self.refused)):
            raise OSError(self.errno, os.strerror(self.errno))

    def begin(self, refused: int | None = None, stays_full: bool = False) -> None:
        self.steps.clear()
        self.refused = refused
        self.stays_full = stays_full
        if refused is not None:
            self.ids = itertools.count(1000)

    # -- system calls of the object files -----------------------------------------------------------------------------

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = {name: getattr(os, name) for name in ("open", "write", "fsync", "rename", "mkdir")}

        def patched(name: str) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                if name != "open" or arguments[1] & os.O_CREAT:
                    is_directory = name == "fsync" and os.path.isdir(f"/proc/self/fd/{arguments[0]}")
                    self.step("fsync directory" if is_directory else name)
                return real[name](*arguments, **options)

            return call

        for name in real:
            monkeypatch.setattr(os, name, patched(name))
        # Object ids choose directories, and thereby the steps, which must be the same each time.
        monkeypatch.setattr(
            secrets, "token_hex", lambda size: hashlib.sha256(b"%d" % next(self.ids)).hexdigest()[: 2 * size]
        )


class FaultyFile(apsw.VFSFile):
    """A file of SQLite's whose writes and synchronisations are steps."""

    def __init__(self, faults: Faults, name: Any, flags: list[int]) -> None:
        self._faults = faults
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._step("sqlite write", apsw.FullError("database or disk is full"))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        error = apsw.IOError("disk I/O error")
        error.extendedresult = apsw.SQLITE_IOERR_FSYNC
        self._step("sqlite sync", error)
        super().xSync(flags)

    def _step(self, name: str, error: apsw.Error) -> None:
        try:
            self._faults.step(name)
        except OSError:
            raise error from None


class FaultySystem(apsw.VFS):
    """SQLite's default file system while a test runs."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        super().__init__("faulty", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:
        return FaultyFile(self._faults, name, flags)

    def xGetLastError(self) -> tuple[int, str]:
        return self._faults.errno, os.strerror(self._faults.errno)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    faults = Faults()
    system = FaultySystem(faults)
    faults.patch(monkeypatch)
    yield faults
    faults.begin()
    system.unregister()


@pytest.fixture
def quick_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory in memory where there is one: these tests refuse synchronisations, they need none."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


WRITES: dict[str, Callable[[Storage], object]] = {
    "small blob": lambda storage: storage.blobs.put(b"new"),
    "large blob": lambda storage: storage.blobs.put(b"new" * LARGE),
    "known blob under another type": lambda storage: storage.blobs.put(b"old" * LARGE, "text/html"),
    "small buffer": lambda storage: storage.buffers.put("new", b"new"),
    "large buffer": lambda storage: storage.buffers.put("new", b"new" * LARGE),
    "large buffer over a large one": lambda storage: storage.buffers.put("old", b"new" * LARGE),
    "empty buffer over a large one": lambda storage: storage.buffers.put("old", b""),
    "large blob in parts": lambda storage: storage.blobs.put(iter([b"new" * LARGE, b"er"])),
    "large buffer in parts over a large one": lambda storage: storage.buffers.put("old", iter([b"new" * LARGE] * 2)),
    "small buffer in parts": lambda storage: storage.buffers.put("new", iter([b"n", b"ew"])),
    "small value": lambda storage: storage.kv.set(b"new", b"new"),
    "large value over a large one": lambda storage: storage.kv.set(b"old", b"new" * LARGE),
    "name": lambda storage: storage.names.register("old", b"new" * LARGE, "application/wasm", {}),
    "array": lambda storage: storage.buffers.put("new", b"new" * 2 * LARGE, array=ARRAY),
    "array in parts over a large buffer": lambda storage: storage.buffers.put(
        "old", iter([b"n" * LARGE] * 6), array=ARRAY
    ),
    "array of another grid": lambda storage: storage.buffers.put("new", b"new" * 2 * LARGE, array=GRIDDED),
    "array chunk by chunk": lambda storage: write_chunks(storage),
    "more of an array": lambda storage: storage.buffers.append("array", b"m" * LARGE, parse_array("uint8", [1, LARGE])),
    "Zarr node": lambda storage: storage.buffers.put_zarr("old", ZARR_NODE),
    "Zarr value": lambda storage: storage.zarr_store()._writable.set("buffers/old/c/1", b"new" * LARGE),
    "group of Zarr values": lambda storage: write_zarr_group(storage),
    "removal of an array": lambda storage: storage.buffers.delete("array"),
    "removal of a buffer": lambda storage: storage.buffers.delete("old"),
    "removal of a key": lambda storage: storage.kv.delete(b"old"),
    "removal of a name": lambda storage: storage.names.delete("old"),
    "group": lambda storage: write_group(storage),
}


LARGE_WRITES = (
    *("large blob", "large buffer", "large buffer over a large one", "large value over a large one"),
    *("large blob in parts", "large buffer in parts over a large one"),
)
ARRAY_WRITES = (
    *(
        "array",
        "array in parts over a large buffer",
        "array of another grid",
        "array chunk by chunk",
        "more of an array",
    ),
    *("Zarr node", "Zarr value", "group of Zarr values"),
)
STAGED = {*LARGE_WRITES, *ARRAY_WRITES, "name", "group"}


def write_chunks(storage: Storage) -> None:
    with storage.buffers.write_array("old", ARRAY) as writer:
        for row in range(2):
            writer.write_chunk((row, 0), b"new" * LARGE)
        writer.commit()


def write_zarr_group(storage: Storage) -> None:
    with storage.zarr_group("buffers") as store:
        for number in range(3):
            store._writable.set(f"buffers/new/c/{number}", b"new" * LARGE)
        store._writable.delete_below("buffers/old/")


def write_group(storage: Storage) -> None:
    with storage.group() as group:
        storage.blobs.put(b"grp" * LARGE, group=group)
        storage.buffers.put("old", b"new" * LARGE, group=group)
        storage.kv.set(b"old", b"new" * LARGE, group=group)
        storage.names.register("new", b"new" * LARGE, "application/wasm", {}, group=group)
        storage.kv.delete(b"other", group=group)


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize("stays_full", [False, True])
def test_a_full_disk_at_any_step_leaves_what_was_there_and_the_write_works_later(
    quick_disk: Path, faults: Faults, kind: str, stays_full: bool
) -> None:
    with Storage.open(quick_disk / "made") as storage:
        storage.blobs.put(b"old" * LARGE, "text/plain")
        storage.buffers.put("old", b"old" * LARGE)
        storage.buffers.put("array", b"a" * LARGE * 3, array=parse_array("uint8", [3, LARGE], [2, LARGE]))
        storage.kv.set(b"old", b"old" * LARGE)
        storage.kv.set(b"other", b"other")
        storage.names.register("old", b"old", "application/wasm", {"n": 1})
        before = contents(storage)
    refused_steps = set()
    for number in itertools.count():
        path = quick_disk / str(number)
        shutil.copytree(quick_disk / "made", path)
        files_before = files(path)
        with Storage.open(path) as storage:
            faults.begin(number, stays_full)
            try:
                WRITES[kind](storage)
                acknowledged = True
            except StorageFullError:
                acknowledged = False
            steps = list(faults.steps)
            faults.begin()
            if number < len(steps):
                refused_steps.add(steps[number])
            if acknowledged:
                # Nothing was refused any more, or once, and the second attempt of the transaction came through.
                assert number >= len(steps) or steps[number].startswith("sqlite")
            else:
                assert contents(storage) == before, steps
                left = files(path) - files_before
                # Whether a commit that failed in its last step is found after a crash is unknown: its files then stay.
                maybe_referred_to = {each for each in left if each.startswith("objects/")}
                assert left == (maybe_referred_to if steps[number] == "sqlite sync" else set()), steps
                WRITES[kind](storage)
            after = contents(storage)
            assert after != before
        with Storage.open(path) as storage:
            assert contents(storage) == after
        if number >= len(steps):
            break
    assert {"sqlite write", "sqlite sync"} <= refused_steps
    if kind in STAGED:
        assert {"open", "write", "fsync", "rename", "fsync directory"} <= refused_steps


def fill_up(write: Callable[[int], object]) -> None:
    """Write until the error comes."""
    for number in itertools.count():
        write(number)


def fill(path: Path) -> Path:
    """Fill the disk to the last block."""
    filler = path / "filler"
    with open(filler, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


def test_a_really_full_disk_refuses_writes_and_takes_them_again(small_disk: Path) -> None:
    path = small_disk / "storage"
    with Storage.open(path) as storage:
        storage.buffers.put("kept", b"k" * 300_000)
        storage.kv.set(b"kept", b"1")
        storage.names.register("kept", b"2" * 100_000, "application/wasm", {})
        before = contents(storage)
        files_before = files(path)
        filler = fill(small_disk)
        with pytest.raises(StorageFullError, match="nothing of it is visible"):
            fill_up(lambda number: storage.kv.set(b"filling/%d" % number, bytes(4000)))
        for kind in LARGE_WRITES:
            if "buffer over" not in kind and "parts over" not in kind:
                with pytest.raises(StorageFullError):
                    WRITES[kind](storage)
                assert files(path) == files_before
        filling = set(storage.kv.list(b"filling/"))
        filler.unlink()
        for key in filling:
            storage.kv.delete(key)
        storage.buffers.put("kept", b"more" * 300_000)
        assert storage.buffers.read("kept") == b"more" * 300_000
    with Storage.open(path) as storage:
        assert storage.buffers.read("kept") == b"more" * 300_000
        assert storage.kv.get(b"kept") == b"1"
        assert storage.blobs.read(storage.names.list()[0].blob_id) == b"2" * 100_000
        assert before["names"] == storage.names.list()


def test_a_storage_on_a_full_disk_can_be_opened_and_emptied(small_disk: Path) -> None:
    with Storage.open(small_disk / "storage") as storage:
        with pytest.raises(StorageFullError):
            fill_up(lambda number: storage.buffers.put(f"large/{number}", b"l" * 100_000))
        with pytest.raises(StorageFullError):
            fill_up(lambda number: storage.kv.set(b"%d" % number, bytes(1000)))
        fill(small_disk)
    fill(small_disk)
    with Storage.open(small_disk / "storage") as storage:
        for record in storage.buffers.list():
            storage.buffers.delete(record.name)
        storage.buffers.put("again", b"a" * 500_000)
        assert storage.buffers.read("again") == b"a" * 500_000


def test_the_first_opening_on_a_full_disk_is_refused_and_works_once_there_is_room(small_disk: Path) -> None:
    filler = fill(small_disk)
    with pytest.raises(StorageFullError):
        Storage.open(small_disk / "storage")
    filler.unlink()
    with Storage.open(small_disk / "storage") as storage:
        storage.kv.set(b"k", b"v")
        assert storage.kv.get(b"k") == b"v"


def test_steps_of_a_large_write_come_in_the_order_that_makes_it_durable(tmp_path: Path, faults: Faults) -> None:
    with Storage.open(tmp_path / "storage") as storage:
        faults.begin()
        storage.buffers.put("x", b"1" * LARGE)
        steps = [step for step, _ in itertools.groupby(faults.steps)]
    assert steps == [
        *("open", "write", "fsync"),
        *("mkdir", "fsync directory"),
        *("rename", "fsync directory"),
        *("sqlite write", "sqlite sync"),
    ]


TOGETHER: dict[bytes, Callable[[Storage], object]] = {
    b"small": lambda storage: storage.kv.set(b"small", b"new"),
    b"large": lambda storage: storage.kv.set(b"large", b"new" * LARGE),
    b"refused": lambda storage: write_and_refuse(storage),
    b"old": lambda storage: storage.kv.set(b"old", b"new" * LARGE),
}


def write_and_refuse(storage: Storage) -> None:
    with storage.group() as group:
        storage.kv.set(b"refused", b"new" * LARGE, group=group)
        storage.kv.delete(b"missing", group=group)


def write_together(storage: Storage) -> dict[bytes, Exception | None]:
    """Have writers wait for the one writer, so that they are committed together; give what each was told."""
    turns = storage._writer._turns
    with ThreadPoolExecutor(len(TOGETHER) + 1) as pool:
        with storage._catalog.writing():
            leading = pool.submit(storage.kv.delete, b"other")
            wait_until(lambda: turns._is_led)
            told = {}
            for key, write in TOGETHER.items():
                before, future = len(turns._waiting), pool.submit(write, storage)
                # One whose files cannot even be staged does not come to wait.
                wait_until(lambda before=before, future=future: len(turns._waiting) > before or future.done())
                told[key] = future
        return {b"other": leading.exception(), **{key: each.exception() for key, each in told.items()}}


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


@pytest.mark.parametrize(
    ("number_of_error", "stays"), [(errno.ENOSPC, False), (errno.ENOSPC, True), (errno.EIO, False)]
)
def test_of_groups_that_are_committed_together_each_is_told_of_its_own_fault(
    quick_disk: Path, faults: Faults, number_of_error: int, stays: bool
) -> None:
    with Storage.open(quick_disk / "made") as storage:
        storage.kv.set(b"old", b"old" * LARGE)
        storage.kv.set(b"other", b"other")
    for number in itertools.count():
        path = quick_disk / str(number)
        shutil.copytree(quick_disk / "made", path)
        with Storage.open(path) as storage:
            faults.errno = number_of_error
            faults.begin(number, stays)
            told = write_together(storage)
            steps = list(faults.steps)
            faults.begin()
            expected = {b"old": b"old" * LARGE, b"other": b"other"}
            for key, error in told.items():
                if key == b"refused":
                    assert isinstance(error, KeyNotFoundError | StorageError)
                elif error is not None:
                    assert isinstance(error, StorageFullError if number_of_error == errno.ENOSPC else StorageError)
                elif key == b"other":
                    del expected[b"other"]
                else:
                    expected[key] = b"new" if key == b"small" else b"new" * LARGE
            assert {key: storage.kv.get(key) for key in storage.kv.list()} == expected, steps
            storage.kv.set(b"last", b"last")
            expected[b"last"] = b"last"
            large = sum(len(value) > 65_536 for value in expected.values())
            assert len(files(path)) == large, steps
        with Storage.open(path) as storage:
            assert {key: storage.kv.get(key) for key in storage.kv.list()} == expected
        shutil.rmtree(path)
        if number >= len(steps):
            assert told[b"small"] is told[b"large"] is told[b"old"] is None
            break


def test_a_database_that_the_disk_did_not_keep_is_mended_from_the_log(quick_disk: Path, faults: Faults) -> None:
    path = quick_disk / "storage"
    for number in itertools.count():
        with Storage.open(path) as storage:
            catalog = storage._catalog
            storage.kv.set(b"a", b"%d" % number)
            moment = catalog.moment()
            moment.rows("SELECT 1 FROM keyvalues")
            storage.kv.set(b"b", b"%d" % number * 4000)
            with catalog.writing():
                catalog._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
            moment.close()
            faults.errno = errno.EIO
            faults.begin(number)
            with catalog.writing():
                catalog._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
            steps = list(faults.steps)
            faults.begin()
            is_refused = number < len(steps) and steps[number] == "sqlite sync"
            if is_refused:
                with pytest.raises(ReadOnlyStorageError, match="open it again"):
                    storage.kv.set(b"c", b"c")
            else:
                storage.kv.set(b"c", b"c")
            assert storage.kv.get(b"a") == b"%d" % number
        with Storage.open(path) as storage:
            assert storage.kv.get(b"b") == b"%d" % number * 4000
            storage.kv.set(b"c", b"c")
        if number >= len(steps):
            assert steps.count("sqlite sync") == 2
            break
