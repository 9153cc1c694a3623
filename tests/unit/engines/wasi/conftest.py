"""A call without an engine: the functions of a WASI module, called from Python on a memory of their own."""

from __future__ import annotations

import asyncio
import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasi import PREVIEW1, WasiState
from moc_server_ext.engines.wasi import layout as wasi_layout
from moc_server_ext.engines.wasm.memory import LinearMemory
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.errno import Errno, GuestErrno
from moc_server_ext.guest_api.registry import GuestModule, HostFunction, Wait, Work
from moc_server_ext.model import Invocation, Limits, Mode

MEMORY_BYTES = 1 << 20
RESULT, VECTORS, TEXT, CONTENT = 64, 1024, 16 << 10, 64 << 10
ALL_RIGHTS = (1 << 30) - 1


async def _awaited(waiting: Wait, context: CallContext) -> Any:
    task = asyncio.ensure_future(waiting.start())
    loop = asyncio.get_running_loop()
    context.when_cancelled(lambda: loop.call_soon_threadsafe(task.cancel))
    try:
        return await asyncio.wait_for(task, context.deadline - time.monotonic())
    except (TimeoutError, asyncio.CancelledError):
        raise context.overdue() from None


class Guest:
    """Plays a guest: puts arguments into memory, calls host functions, reads results back.

    ``guest.fd_close(3)`` gives an `Errno`; `write`, `read`, `open` and the like are what a C library makes of them, and
    raise `GuestErrno`.
    """

    def __init__(self, module: GuestModule, input: bytes, limits: dict[str, Any], **invocation: Any) -> None:
        self.module = module
        fields = {"function": "guest", "blob_id": "00" * 32, "mode": Mode.POSIX, "entry": "_start", **invocation}
        self.context = CallContext(Invocation(**fields, limits=replace(Limits(), **limits)), ExchangeBuffer(input))
        self._bytes = ctypes.create_string_buffer(MEMORY_BYTES)
        self.memory = LinearMemory(ctypes.addressof(self._bytes), lambda: MEMORY_BYTES)
        self.context.memory = self.memory
        self.state = self.context.wasi = WasiState(self.context)

    def __getattr__(self, name: str) -> Callable[..., Errno]:
        function = self.module.functions[name]

        def call(*numbers: int) -> Errno:
            assert len(numbers) == len(function.signature.params)
            return self.answer(function, numbers)

        return call

    def answer(self, function: HostFunction, numbers: tuple[int, ...]) -> Errno:
        try:
            answer = function.body(self.context, *numbers)
            if isinstance(answer, Work):
                answer = answer.finish(answer.run())
            elif isinstance(answer, Wait):
                answer = answer.finish(asyncio.run(_awaited(answer, self.context)))
            return Errno(answer)
        except GuestErrno as refusal:
            return refusal.number

    def put(self, pointer: int, content: bytes) -> tuple[int, int]:
        self.memory.write(pointer, content)
        return pointer, len(content)

    def path(self, path: str | bytes, at: int = TEXT) -> tuple[int, int]:
        return self.put(at, path.encode() if isinstance(path, str) else path)

    def result(self) -> int:
        return self.memory.read_u32(RESULT)

    def vectors(self, *pairs: tuple[int, int]) -> tuple[int, int]:
        self.memory.write(VECTORS, b"".join(wasi_layout.IOVEC.pack(*pair) for pair in pairs))
        return VECTORS, len(pairs)

    @staticmethod
    def need(errno: Errno) -> None:
        if errno:
            raise GuestErrno(errno)

    def write(self, fd: int, content: bytes) -> int:
        vectors = self.vectors(self.put(CONTENT, content))
        self.need(self.fd_write(fd, *vectors, RESULT))
        return self.result()

    def read(self, fd: int, count: int) -> bytes:
        self.need(self.fd_read(fd, *self.vectors((CONTENT, count)), RESULT))
        return self.memory.read(CONTENT, self.result())

    def open(
        self, path: str | bytes, mode: str = "r", *, at: int = 3, flags: int = 0, rights: int | None = None,
        follow: bool = True,
    ) -> int:  # fmt: skip
        if rights is None:
            rights = wasi_layout.RIGHT_READ if mode[0] == "r" or "+" in mode else 0
            rights |= wasi_layout.RIGHT_WRITE if mode[0] in "wxa" or "+" in mode else 0
        oflags = {"r": 0, "w": 9, "x": 5, "a": 1, "d": 2}[mode[0]]
        flags |= mode[0] == "a"
        self.need(self.path_open(at, int(follow), *self.path(path), oflags, rights, ALL_RIGHTS, flags, RESULT))
        return self.result()

    def seek(self, fd: int, offset: int, whence: int) -> int:
        self.need(self.fd_seek(fd, offset, whence, RESULT))
        return self.memory.read_u64(RESULT)

    def stat(self, path: str, at: int = 3, *, follow: bool = True) -> dict[str, int]:
        self.need(self.path_filestat_get(at, int(follow), *self.path(path), RESULT))
        return self._filestat()

    def fstat(self, fd: int) -> dict[str, int]:
        self.need(self.fd_filestat_get(fd, RESULT))
        return self._filestat()

    def _filestat(self) -> dict[str, int]:
        preview1 = self.module is PREVIEW1
        layout = wasi_layout.FILESTAT_PREVIEW1 if preview1 else wasi_layout.FILESTAT_UNSTABLE
        names = ("dev", "ino", "filetype", "nlink", "size", "atim", "mtim", "ctim")
        return dict(zip(names, layout.unpack(self.memory.read(RESULT, layout.size)), strict=True))

    def mkdir(self, path: str, at: int = 3) -> None:
        self.need(self.path_create_directory(at, *self.path(path)))

    def rmdir(self, path: str, at: int = 3) -> None:
        self.need(self.path_remove_directory(at, *self.path(path)))

    def unlink(self, path: str, at: int = 3) -> None:
        self.need(self.path_unlink_file(at, *self.path(path)))

    def rename(self, old: str, new: str, at: int = 3) -> None:
        self.need(self.path_rename(at, *self.path(old), at, *self.path(new, at=TEXT + 8192)))

    def link(self, old: str, new: str, at: int = 3, *, follow: bool = False) -> None:
        self.need(self.path_link(at, int(follow), *self.path(old), at, *self.path(new, at=TEXT + 8192)))

    def symlink(self, content: str | bytes, path: str, at: int = 3) -> None:
        self.need(self.path_symlink(*self.path(content), at, *self.path(path, at=TEXT + 8192)))

    def readlink(self, path: str, at: int = 3, room: int = 4096) -> bytes:
        self.need(self.path_readlink(at, *self.path(path), CONTENT, room, RESULT))
        return self.memory.read(CONTENT, self.result())

    def page(self, fd: int, cookie: int = 0, length: int = 4096) -> tuple[list[tuple[str, int]], int, int]:
        """Give the whole entries of one page as (name, type), the cookie after them, and the bytes used."""
        self.need(self.fd_readdir(fd, CONTENT, length, cookie, RESULT))
        used = self.result()
        content, entries = self.memory.read(CONTENT, used), []
        while len(content) >= wasi_layout.DIRENT.size:
            after, _, size, filetype = wasi_layout.DIRENT.unpack_from(content)
            if len(content) < wasi_layout.DIRENT.size + size:
                break
            entries.append((content[wasi_layout.DIRENT.size :][:size].decode(), filetype))
            content, cookie = content[wasi_layout.DIRENT.size + size :], after
        return entries, cookie, used

    def listdir(self, path: str, length: int = 4096, *, at: int = 3) -> list[str]:
        fd, names, cookie = self.open(path, "d", at=at), list[str](), 0
        while True:
            entries, cookie, used = self.page(fd, cookie, length)
            names += [name for name, _ in entries]
            if used < length:
                self.need(self.fd_close(fd))
                return [name for name in names if name not in (".", "..")]


class _PeerMemory(LinearMemory):
    """The memory of a guest in another process."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        super().__init__()
        self._ask = ask

    def read(self, pointer: int, length: int) -> bytes:
        return bytes.fromhex(self._ask("read", pointer, length))

    def write(self, pointer: int, content: bytes) -> None:
        self._ask("write", pointer, bytes(content).hex())

    def read_u32(self, pointer: int) -> int:
        return int.from_bytes(self.read(pointer, 4), "little")

    def read_u64(self, pointer: int) -> int:
        return int.from_bytes(self.read(pointer, 8), "little")


class NativeGuest(Guest):
    """Plays a guest of wasmtime's own WASI, over an empty directory of the host with a ``tmp`` in it."""

    def __init__(self, ask: Callable[..., Any], input: str = "") -> None:
        self.module = PREVIEW1
        self.memory = _PeerMemory(ask)
        self._ask = ask
        ask("new", input)

    def answer(self, function: HostFunction, numbers: tuple[int, ...]) -> Errno:
        number = self._ask("call", function.name, *numbers)
        assert isinstance(number, int), number
        return Errno(number)


MakeGuest = Callable[..., Guest]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a cluster that the tests of a module share."""
    directory: Path = tmp_path_factory.mktemp("cluster")
    with Cluster.open(directory / "storage", cache_directory=directory / "cache") as cluster:
        yield cluster


@pytest.fixture
def make_guest() -> MakeGuest:
    def make(input: bytes = b"", *, module: GuestModule = PREVIEW1, limits: Any = None, **invocation: Any) -> Guest:
        return Guest(module, input, limits or {}, **invocation)

    return make


@pytest.fixture
def guest(make_guest: MakeGuest) -> Iterator[Guest]:
    return make_guest(b"line one\nline two\n")


@pytest.fixture(scope="session")
def native_guests() -> Iterator[Callable[[], NativeGuest]]:
    """Make guests of wasmtime's own WASI, one at a time."""
    command = [sys.executable, str(Path(__file__).parent / "native_guest.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None

        def tell(message: object) -> None:
            print(json.dumps(message), file=peer.stdin, flush=True)

        def ask(*message: object) -> Any:
            tell(message)
            return json.loads(peer.stdout.readline())

        tell({name: list(each.signature.params) for name, each in PREVIEW1.functions.items()})
        yield lambda: NativeGuest(ask)
        peer.stdin.close()
