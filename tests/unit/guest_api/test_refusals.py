"""Every error number that a function of ``core`` documents is one that it gives, and a case here shows when."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core_guests import MEMORY, Program
from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.buffers.streamed import SourceBuffer
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import (
    CancelledError,
    CorruptStorageError,
    LimitExceededError,
    MocError,
    OverloadedError,
    ReadOnlyStorageError,
    StorageFullError,
)
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import Grants, Invocation, Limits, Mode, parse_grants
from web import Web, answer, web_server

WASM = "application/wasm"
# A callee that gives 7, traps, gives a float, and writes ten bytes.
CALLEE = wat_to_wasm("""(module
  (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "seven") (result i32) (i32.const 7))
  (func (export "trap") (unreachable))
  (func (export "float") (result f64) (f64.const 1))
  (func (export "write") (result i32) (call $write (i32.const 2) (i32.const 0) (i32.const 10))))""")
BLOB = b"the bytes of a blob"
BLOB_ID = hashlib.sha256(BLOB).hexdigest()
GRANTS = ("kv", "call", "blob", "register", "status", "export")

# One call of each function that succeeds, with which a case differs in one thing.
GOOD: dict[str, tuple[str | bytes | int, ...]] = {
    "get_input_buffer_id_at": (0,),
    "free_buffer": (3,),
    "write_exchange_buffer": (2, b"part"),
    "read_exchange_buffer": (1, 8, 100),
    "read_exchange_buffer_headers": (1,),
    "write_exchange_buffer_header": (2, "name", "value"),
    "write_exchange_buffer_status_code": (2, 200),
    "base64_encode": (b"some bytes",),
    "base64_decode": ("c29tZSBieXRlcw==",),
    "print_debug": ("text",),
    "log": (2, "text"),
    "get_time": (8, 8),
    "persistence_set": (b"key", b"value"),
    "persistence_get": (b"there",),
    "persistence_get_subset": (b"the",),
    "persistence_delete": (b"removed",),
    "persistence_compare_and_set": (b"there", b"a value", b"a value"),
    "persistence_increment": (b"number", 8, 8),
    "persistence_list": (b"the", b"", 10),
    "persistence_apply": ('[{"change": "set", "key": "key", "value": "value"}]',),
    "call_function": ("callee", "seven", 0, 0, "direct", 0, 0, "", 0, 0),
    "get_url": ("http://WEB/",),
    "register_blob_with_name": ("name", WASM, CALLEE),
    "register_blob": ("text/plain", b"content"),
    "get_blob_tech_id_from_name": ("callee",),
    "get_blob_bytes_as_string": (BLOB_ID,),
    "register_buffer": (b"some bytes",),
    "get_buffer_size": (1,),
    "get_exchange_buffer_size": (1,),
    "get_buffer": (1, 8, 100),
    "get_buffer_headers": (1,),
}
BUFFER_TAKERS = ("read_exchange_buffer", "read_exchange_buffer_headers", "write_exchange_buffer", "free_buffer",
                 "write_exchange_buffer_header", "write_exchange_buffer_status_code", "get_buffer_size",
                 "get_exchange_buffer_size", "get_buffer", "get_buffer_headers")  # fmt: skip
TAKES_TEXT_AT = {  # where a text is among the values
    "call_function": 0,
    "get_url": 0,
    "register_blob_with_name": 0,
    "register_blob": 0,
    "get_blob_tech_id_from_name": 0,
    "get_blob_bytes_as_string": 0,
    "write_exchange_buffer_header": 1,
}
# What changes key-values, but for persistence_set.
CHANGING = ("persistence_delete", "persistence_compare_and_set", "persistence_increment", "persistence_apply")
FAR = MEMORY - 1
SECRET = "/where/it/lies"


@dataclass(frozen=True)
class Case:
    """One function, how it is called, and with which number it refuses."""

    function: str
    errno: Errno
    values: tuple[str | bytes | int, ...] = ()
    before: str = ""
    failure: MocError | None = None
    outside: bool = False
    granted: bool = True
    deterministic: bool = False
    far: bool = False
    live: bool = False
    limits: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.function}-{self.errno.name}"


def changed(name: str, at: int, *values: str | bytes | int) -> tuple[str | bytes | int, ...]:
    """Give the values of the good call with another one, or another pointer and length, at one place."""
    good = GOOD[name]
    return (*good[:at], *values, *good[at + 1 :])


def cases() -> Iterator[Case]:
    """Make the cases: first what holds for many functions, then what is particular."""
    for name, function in CORE.functions.items():
        if any(each.endswith("ptr") for each in function.parameters):
            yield Case(name, Errno.EFAULT, far=True)
        if name in BUFFER_TAKERS:
            yield Case(name, Errno.EBADF, changed(name, 0, 77))
        if name in TAKES_TEXT_AT and name != "get_url":
            yield Case(name, Errno.EINVAL, changed(name, TAKES_TEXT_AT[name], b"\xff"))
        if name in TAKES_TEXT_AT:
            yield Case(name, Errno.E2BIG, changed(name, TAKES_TEXT_AT[name], 8, (128 << 10) + 1))
        if Errno.ENOSYS in function.errors:
            if name != "get_time":
                yield Case(name, Errno.ENOSYS, outside=True)
            if name != "call_function":
                yield Case(name, Errno.ENOSYS, deterministic=True)
        if Errno.EACCES in function.errors:
            yield Case(name, Errno.EACCES, granted=False)
        if Errno.EMFILE in function.errors:
            yield Case(name, Errno.EMFILE, before="buffer", limits={"buffers": 1})
        if Errno.EMFILE in function.errors and name != "create_exchange_buffer":
            yield Case(name, Errno.ENOSPC, limits={"scratch_bytes": 1})
    for name, failure, errno in (
        ("register_blob", StorageFullError("it"), Errno.ENOSPC),
        ("register_blob", ReadOnlyStorageError(SECRET, "it is"), Errno.EROFS),
        ("register_blob", CorruptStorageError("it", SECRET), Errno.EIO),
        ("register_blob_with_name", StorageFullError("it"), Errno.ENOSPC),
        ("register_blob_with_name", ReadOnlyStorageError(SECRET, "it is"), Errno.EROFS),
        ("register_blob_with_name", CorruptStorageError("it", SECRET), Errno.EIO),
        ("register_blob_with_name", OverloadedError(), Errno.EAGAIN),
        ("persistence_set", StorageFullError("it"), Errno.ENOSPC),
        ("persistence_set", ReadOnlyStorageError(SECRET, "it is"), Errno.EROFS),
        *((each, StorageFullError("it"), Errno.ENOSPC) for each in CHANGING),
        *((each, ReadOnlyStorageError(SECRET, "it is"), Errno.EROFS) for each in CHANGING),
        ("get_blob_bytes_as_string", CorruptStorageError("it", SECRET), Errno.EIO),
        ("export_database", CorruptStorageError("it", SECRET), Errno.EIO),
        ("call_function", OverloadedError(), Errno.EAGAIN),
        ("call_function", CancelledError("callee"), Errno.ECANCELED),
        ("call_function", LimitExceededError("callee", "call_depth", 16), Errno.ELOOP),
        ("call_function", LimitExceededError("callee", "memory_bytes", 16), Errno.ENOMEM),
        ("call_function", LimitExceededError("callee", "timeout_seconds", 1), Errno.ETIMEDOUT),
    ):
        yield Case(name, errno, failure=failure)
    yield Case("get_input_buffer_id_at", Errno.EINVAL, (1,))
    yield Case("free_buffer", Errno.EPERM, (1,))
    yield Case("write_exchange_buffer", Errno.EPERM, (1, b"part"))
    yield Case("write_exchange_buffer", Errno.ENOSPC, (3, b"part"), "buffer", limits={"scratch_bytes": 3})
    for name in ("read_exchange_buffer", "get_buffer"):
        yield Case(name, Errno.ENOSPC, (1, 0, 0), live=True, limits={"scratch_bytes": 3})
    for name in ("get_buffer_size", "get_exchange_buffer_size"):
        yield Case(name, Errno.ENOSPC, live=True, limits={"scratch_bytes": 3})
    yield Case("write_exchange_buffer_header", Errno.EPERM, (1, "name", "value"))
    yield Case("write_exchange_buffer_header", Errno.E2BIG, (2, "name", "v" * 8000), "headers")
    yield Case("write_exchange_buffer_header", Errno.EINVAL, (2, "two words", "value"))
    yield Case("write_exchange_buffer_status_code", Errno.EPERM, (1, 200))
    yield Case("write_exchange_buffer_status_code", Errno.EINVAL, (2, 600))
    yield Case("base64_decode", Errno.EINVAL, ("c*==",))
    yield Case("log", Errno.EINVAL, (6, "text"))
    yield Case("get_time", Errno.EINVAL, (8, 7))
    yield Case("persistence_set", Errno.EINVAL, (b"", b"value"))
    yield Case("persistence_get", Errno.EINVAL, (b"k" * 4097,))
    yield Case("persistence_get", Errno.ENOENT, (b"absent",))
    yield Case("persistence_get_subset", Errno.EINVAL, (b"k" * 4097,))
    yield Case("persistence_delete", Errno.EINVAL, (b"",))
    yield Case("persistence_delete", Errno.ENOENT, (b"absent",))
    yield Case("persistence_compare_and_set", Errno.EINVAL, (b"k" * 4097, b"", b""))
    yield Case("persistence_compare_and_set", Errno.EAGAIN, (b"there", b"other", b"new"))
    yield Case("persistence_increment", Errno.EINVAL, (b"there", 8, 8))
    yield Case("persistence_increment", Errno.EINVAL, (b"number", 8, 7))
    yield Case("persistence_list", Errno.EINVAL, (b"the", b"", 0))
    yield Case("persistence_apply", Errno.EINVAL, ("[",))
    yield Case("persistence_apply", Errno.ENOENT, ('[{"change": "delete", "key": "absent"}]',))
    missing = '[{"change": "compare_and_set", "key": "absent", "expected": "v", "value": null}]'
    yield Case("persistence_apply", Errno.EAGAIN, (missing,))
    yield Case("register_blob_with_name", Errno.EFBIG, ("name", WASM, 8, (64 << 20) + 1))
    yield Case("register_blob_with_name", Errno.ENOEXEC, ("name", WASM, b"<html>"))
    yield Case("register_blob_with_name", Errno.EINVAL, ("name", "text/html", CALLEE))
    yield Case("register_blob", Errno.EFBIG, ("text/plain", 8, (64 << 20) + 1))
    yield Case("register_blob", Errno.EINVAL, ("text", b"content"))
    yield Case("get_blob_tech_id_from_name", Errno.ENOENT, ("absent",))
    yield Case("get_blob_bytes_as_string", Errno.ENOENT, ("0" * 64,))
    yield Case("get_url", Errno.EINVAL, ("file:///etc/passwd",))
    yield Case("get_url", Errno.EIO, ("http://WEB/nonsense",))
    yield Case("call_function", Errno.ENOENT, changed("call_function", 0, "absent"))
    yield Case("call_function", Errno.EINVAL, changed("call_function", 4, "sideways"))
    yield Case("call_function", Errno.E2BIG, changed("call_function", 3, 1025))
    yield Case("call_function", Errno.EBADF, changed("call_function", 5, 77))
    yield Case("call_function", Errno.EPERM, ("callee", "write", 0, 0, "direct", 0, 1, "", 0, 0))
    yield Case("call_function", Errno.ENOSPC, ("callee", "write", 0, 0, "direct", 0, 3, "", 0, 0), "buffer",
               limits={"scratch_bytes": 9})  # fmt: skip
    yield Case("call_function", Errno.EIO, changed("call_function", 1, "trap"))
    yield Case("call_function", Errno.EOVERFLOW, changed("call_function", 1, "float"))


CASES = list(cases())


def test_every_documented_refusal_has_a_case_and_every_case_is_documented():
    shown = {(each.function, each.errno) for each in CASES}
    assert shown == {(name, errno) for name, each in CORE.functions.items() for errno in each.errors}


def test_nothing_refuses_when_nothing_is_wrong(answer_of):
    """Or a case would show nothing."""
    names = set(CORE.functions)
    refused = {name: answer_of(Case(name, Errno.SUCCESS, before="buffer")) for name in names}
    assert {name: number for name, number in refused.items() if number < 0} == {}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_refusal_is_the_number_that_is_documented(answer_of, case):
    assert answer_of(case) == -case.errno


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with web_server() as server:
        server.answers = {"/": answer(b"hello"), "/nonsense": b"this is not HTTP\r\n\r\n"}
        yield server


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root: Path = tmp_path_factory.mktemp("refusals")
    with Cluster.open(root / "storage", cache_directory=root / "modules") as cluster:
        cluster.functions.put("callee", CALLEE)
        cluster.blobs.put(BLOB)
        cluster.kv.set(b"there", b"a value")
        cluster.kv.set(b"removed", b"a value")
        yield cluster


class Failing:
    """A noun whose every method fails."""

    def __init__(self, failure: MocError) -> None:
        self._failure = failure

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*values: Any, **named: Any) -> Any:
            raise self._failure

        return fail


@pytest.fixture
def answer_of(moc: Cluster, web: Web) -> Callable[[Case], int]:
    """Play a case in a cluster, parts of which fail where the case says so, or outside of any."""
    orchestrator = moc._orchestrator

    def answer_of(case: Case) -> int:
        services: Any = None if case.outside else orchestrator
        if case.failure is not None:
            failing: Any = Failing(case.failure)
            services = SimpleNamespace(
                functions=failing, blobs=failing, kv=failing, zarr=failing, nested=failing.nested, network=None
            )
        content = module_of(case, web.host)
        limits = Limits().narrowed(case.limits)
        invocation = Invocation(
            "guest",
            hashlib.sha256(content).hexdigest(),
            Mode.DIRECT,
            "run",
            grants=parse_grants(GRANTS, (web.host,)) if case.granted else Grants(),
            limits=limits,
            deterministic=case.deterministic,
        )
        source = SourceBuffer(iter([b"in", b"put"])) if case.live else ExchangeBuffer(b"input")
        context = CallContext(invocation, source, services=services)
        result = orchestrator.engine.run(context, lambda: content).result
        assert SECRET.encode() not in context.stderr
        assert isinstance(result, int)
        return result

    return answer_of


def module_of(case: Case, host: str) -> bytes:
    """Make the guest of a case."""
    program = Program()
    lines = []
    if case.before == "buffer":
        lines = ["(drop (call $create_exchange_buffer))"]
    elif case.before == "headers":
        value = program.put("v" * 8000), 8000
        lines = [f"(drop {program.call('write_exchange_buffer_header', 2, f'h{index}', *value)})" for index in range(8)]
    values = [
        each.replace("WEB", host) if isinstance(each, str) else each
        for each in case.values or GOOD.get(case.function, ())
    ]
    if case.far:
        numbers = program.numbers(*values)
        for at, name in enumerate(CORE.functions[case.function].parameters):
            if name.endswith("ptr"):
                numbers[at] = FAR
            elif name.endswith(("length", "capacity")):
                numbers[at] = 100
        return program.wasm(*lines, program.call(case.function, *numbers))
    return program.wasm(*lines, program.call(case.function, *values))
