"""The guest API ``core``, called by guests through the engine."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.engines.wasm import WasmEngine
from moc_server_ext.errors import (
    FunctionNotFoundError,
    KeyNotFoundError,
    LimitExceededError,
    OverloadedError,
    StorageFullError,
)
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.core import CORE, persistence
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, CallResult, Grants, Invocation, Limits, Mode, parse_grants

SCRATCH = 1024


class Store:
    """Key-values and functions of one test."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.blobs = self
        self.kv = self
        self.modules: dict[str, bytes] = {}
        self.requests: list[CallRequest] = []
        self.failure: Exception | None = None

    def set(self, key: bytes, value: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.values[key] = value

    def get(self, key: bytes) -> bytes:
        try:
            return self.values[key]
        except KeyError:
            raise KeyNotFoundError(key.decode()) from None

    def list(self, prefix: bytes = b"", *, limit: int = 1000, after: bytes | None = None) -> list[bytes]:
        keys = sorted(each for each in self.values if each.startswith(prefix) and (after is None or each > after))
        return keys[:limit]

    def read(self, blob_id: str, start: int = 0, stop: int | None = None) -> bytes:
        return next(each for each in self.modules.values() if hashlib.sha256(each).hexdigest() == blob_id)

    def nested(self, parent: CallContext, request: CallRequest, numbers: tuple[int, ...] = ()) -> CallContext:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        if request.function not in self.modules:
            raise FunctionNotFoundError(request.function)
        invocation = Invocation(
            function=request.function,
            blob_id=hashlib.sha256(self.modules[request.function]).hexdigest(),
            mode=request.mode or Mode.DIRECT,
            entry=request.entry or "run",
            numbers=numbers,
            arguments=request.arguments,
            limits=parent.invocation.limits,
        )
        return CallContext(invocation, ExchangeBuffer(b""), services=self, parent=parent)  # type: ignore[arg-type]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[WasmEngine]:
    engine = WasmEngine([CORE], cache_directory=tmp_path / "cache")
    yield engine
    engine.close()


@pytest.fixture
def store() -> Store:
    return Store()


Run = Callable[..., CallResult]


@pytest.fixture
def run(engine: WasmEngine, store: Store) -> Run:
    """Run the body of a function ``run``, with everything of ``core`` imported under its own name."""
    imports = "\n".join(
        f'(import "core" "{name}" (func ${name} (param {" ".join(each.signature.params)}) (result i32)))'
        for name, each in CORE.functions.items()
    )

    def go(
        body: str,
        *,
        data: bytes = b"",
        input: bytes = b"",
        grants: tuple[str, ...] = (),
        services: Any = store,
        context: bool = False,
        **more: Any,
    ) -> Any:
        text = "".join(f"\\{byte:02x}" for byte in data)
        wat = f"""(module {imports} (memory (export "memory") 2) (data (i32.const 1024) "{text}")
          (func (export "run") (result i32) (local $a i32) (local $b i32) {body}))"""
        content = bytes(wasmtime.wat2wasm(wat))
        limits = Limits(scratch_bytes=SCRATCH, **more.pop("limits", {}))
        invocation = Invocation(
            "guest",
            hashlib.sha256(content).hexdigest(),
            Mode.DIRECT,
            "run",
            grants=parse_grants(grants) if grants else Grants(),
            limits=limits,
            **more,
        )
        call = CallContext(invocation, ExchangeBuffer(input), services=services)
        result = engine.run(call, lambda: content)
        return (result, call) if context else result

    return go


def test_the_first_name_of_the_module_still_works(engine):
    content = bytes(
        wasmtime.wat2wasm("""(module (import "my-own-cluster" "test" (func $test (result i32)))
          (func (export "run") (result i32) (call $test)))""")
    )
    invocation = Invocation("old", hashlib.sha256(content).hexdigest(), Mode.DIRECT, "run")
    result = engine.run(CallContext(invocation, ExchangeBuffer(b"")), lambda: content)
    assert (result.result, result.stderr) == (0, b"test\n")


# -- exchange buffers -------------------------------------------------------------------------------------------------


def test_the_input_is_read_once_and_the_output_leaves(run):
    result = run(
        """(local.set $a (call $read_exchange_buffer (call $get_input_buffer_id) (i32.const 0) (i32.const 0)))
        (drop (call $read_exchange_buffer (call $get_input_buffer_id) (i32.const 8) (local.get $a)))
        (drop (call $write_exchange_buffer (call $get_output_buffer_id) (i32.const 8) (local.get $a)))
        (call $read_exchange_buffer (call $get_input_buffer_id) (i32.const 8) (i32.const 100))""",
        input=b"round trip",
    )
    assert (result.result, result.output) == (0, b"round trip")


def test_a_read_that_fails_consumes_nothing(run):
    result = run(
        """(local.set $a (call $read_exchange_buffer (i32.const 1) (i32.const 131070) (i32.const 100)))
        (drop (call $write_exchange_buffer (i32.const 2) (i32.const 8)
          (call $read_exchange_buffer (i32.const 1) (i32.const 8) (i32.const 100))))
        (local.get $a)""",
        input=b"whole",
    )
    assert (result.result, result.output) == (-Errno.EFAULT, b"whole")


def test_a_read_takes_what_there_is_room_for_and_the_next_one_goes_on(run):
    result = run(
        """(local.set $a (call $read_exchange_buffer (i32.const 1) (i32.const 8) (i32.const 3)))
        (local.set $a (i32.add (i32.mul (i32.const 10) (local.get $a))
          (call $read_exchange_buffer (i32.const 1) (i32.const 0) (i32.const 0))))
        (local.set $a (i32.add (i32.mul (i32.const 10) (local.get $a))
          (call $read_exchange_buffer (i32.const 1) (i32.const 11) (i32.const 100))))
        (drop (call $write_exchange_buffer (i32.const 2) (i32.const 8) (i32.const 5)))
        (local.get $a)""",
        input=b"whole",
    )
    assert (result.result, result.output) == (322, b"whole")


def test_parts_are_read_together(run):
    result = run(
        """(local.set $a (call $create_exchange_buffer))
        (drop (call $write_exchange_buffer (local.get $a) (i32.const 1024) (i32.const 2)))
        (drop (call $write_exchange_buffer (local.get $a) (i32.const 1026) (i32.const 3)))
        (i32.add (i32.mul (i32.const 100)
            (call $read_exchange_buffer (local.get $a) (i32.const 0) (i32.const 0)))
          (i32.add (i32.mul (i32.const 10)
              (call $read_exchange_buffer (local.get $a) (i32.const 8) (i32.const 4)))
            (call $read_exchange_buffer (local.get $a) (i32.const 8) (i32.const 100))))""",
        data=b"aabbb",
    )
    assert result.result == 541


@pytest.mark.parametrize(
    ("body", "errno"),
    [
        ("(call $read_exchange_buffer (i32.const 77) (i32.const 8) (i32.const 8))", Errno.EBADF),
        ("(call $write_exchange_buffer (i32.const 77) (i32.const 8) (i32.const 8))", Errno.EBADF),
        ("(call $write_exchange_buffer (i32.const 1) (i32.const 8) (i32.const 8))", Errno.EPERM),
        ("(call $write_exchange_buffer (i32.const 2) (i32.const 8) (i32.const -1))", Errno.EFAULT),
        ("(call $write_exchange_buffer (call $create_exchange_buffer) (i32.const 8) (i32.const 2000))", Errno.ENOSPC),
        ("(call $free_buffer (i32.const 1))", Errno.EPERM),
        ("(call $free_buffer (i32.const 77))", Errno.EBADF),
        ("(call $write_exchange_buffer_status_code (i32.const 2) (i32.const 99))", Errno.EINVAL),
        ("(call $write_exchange_buffer_status_code (i32.const 1) (i32.const 200))", Errno.EPERM),
        ("(call $read_exchange_buffer_headers (i32.const 77))", Errno.EBADF),
        ("(call $base64_encode (i32.const 8) (i32.const 1000))", Errno.ENOSPC),
        ("(call $base64_encode (i32.const 8) (i32.const -1))", Errno.ENOSPC),
        ("(call $print_debug (i32.const 131072) (i32.const 1))", Errno.EFAULT),
        ("(call $get_time (i32.const 8) (i32.const 7))", Errno.EINVAL),
    ],
)
def test_what_a_guest_may_not_do_is_refused_with_a_number(run, body, errno):
    assert run(body).result == -errno


def test_all_buffers_of_a_call_share_one_limit(run):
    """1,024 bytes in all: the fifth buffer of 250 does not fit."""
    body = "(drop (call $write_exchange_buffer (call $create_exchange_buffer) (i32.const 8) (i32.const 250)))" * 4
    last = "(call $write_exchange_buffer (call $create_exchange_buffer) (i32.const 8) (i32.const 250))"
    assert run(body + last).result == -Errno.ENOSPC


def test_buffers_are_limited_in_number_and_freed_ones_count_no_more(run):
    made = "(drop (call $create_exchange_buffer))" * 3
    limits = {"buffers": 3}
    assert run(f"{made} (call $create_exchange_buffer)", limits=limits).result == -Errno.EMFILE
    assert (
        run(f"{made} (drop (call $free_buffer (i32.const 3))) (call $create_exchange_buffer)", limits=limits).result > 0
    )


def test_output_beyond_its_limit_ends_the_call(run):
    with pytest.raises(LimitExceededError, match="output_bytes"):
        run("(call $write_exchange_buffer (i32.const 2) (i32.const 8) (i32.const 100))", limits={"output_bytes": 99})


def test_headers_and_status_are_written_and_read_back_as_json(run):
    result, call = run(
        """(drop (call $write_exchange_buffer_header
            (i32.const 2) (i32.const 1024) (i32.const 12) (i32.const 1036) (i32.const 9)))
        (drop (call $write_exchange_buffer_status_code (i32.const 2) (i32.const 404)))
        (local.set $a (call $read_exchange_buffer_headers (i32.const 2)))
        (local.set $b (call $read_exchange_buffer (local.get $a) (i32.const 8) (i32.const 100)))
        (call $write_exchange_buffer (i32.const 2) (i32.const 8) (local.get $b))""",
        data=b"Content-Typetext/html",
        context=True,
    )
    assert json.loads(result.output) == {"content-type": "text/html"}
    assert result.output_headers == {"content-type": "text/html"}
    assert call.output.status_code == 404


@pytest.mark.parametrize("data", [b"bad namexx", b"name\r\nx: y", b"name\xff\xfe", b"name\0"])
def test_headers_that_would_break_a_response_are_refused(run, data):
    name = 8 if data.startswith(b"bad") else 4
    body = f"""(call $write_exchange_buffer_header
      (i32.const 2) (i32.const 1024) (i32.const {name}) (i32.const {1024 + name}) (i32.const {len(data) - name}))"""
    assert run(body, data=data).result == -Errno.EINVAL


# -- text and time ----------------------------------------------------------------------------------------------------

COPY = """(drop (call $write_exchange_buffer (i32.const 2) (i32.const 8)
  (call $read_exchange_buffer (local.get $a) (i32.const 8) (i32.const 1000)))) (call $free_buffer (local.get $a))"""


def test_base64_goes_there_and_back(run):
    data = bytes(range(200))
    encoded = run(f"(local.set $a (call $base64_encode (i32.const 1024) (i32.const {len(data)}))) {COPY}", data=data)
    assert encoded.result == 0
    decoded = run(
        f"(local.set $a (call $base64_decode (i32.const 1024) (i32.const {len(encoded.output)}))) {COPY}",
        data=encoded.output,
    )
    assert decoded.output == data


def test_what_is_no_base64_is_refused(run):
    assert run("(call $base64_decode (i32.const 1024) (i32.const 4))", data=b"a*b=").result == -Errno.EINVAL


def test_print_debug_writes_lines_to_stderr(run):
    result = run(
        """(drop (call $print_debug (i32.const 1024) (i32.const 5)))
        (call $print_debug (i32.const 1024) (i32.const 5))""",
        data=b"hello",
    )
    assert result.stderr == b"hello\nhello\n"


def test_get_time_writes_nanoseconds_of_the_day(run):
    body = """(drop (call $get_time (i32.const 8) (i32.const 8)))
      (call $write_exchange_buffer (i32.const 2) (i32.const 8) (i32.const 8))"""
    before = time.time_ns()
    found = int.from_bytes(run(body).output, "little")
    assert before <= found <= time.time_ns()


def test_a_deterministic_function_has_no_clock(run):
    assert run("(call $get_time (i32.const 8) (i32.const 8))", deterministic=True).result == -Errno.ENOSYS


# -- persistence ------------------------------------------------------------------------------------------------------

SET = "(call $persistence_set (i32.const 1024) (i32.const 5) (i32.const 1029) (i32.const 3))"
GET = "(local.set $a (call $persistence_get (i32.const 1024) (i32.const 5)))"


def test_values_are_stored_and_read_with_the_grant_for_their_prefix(run, store):
    assert run(SET, data=b"a/keyone", grants=("kv:a/",)).result == 0
    assert store.values == {b"a/key": b"one"}
    assert run(f"{GET} {COPY}", data=b"a/key", grants=("kv",)).output == b"one"


@pytest.mark.parametrize("grants", [(), ("kv:b/",), ("call:*",)])
def test_without_the_grant_nothing_is_stored_and_stderr_says_what_is_missing(run, store, grants):
    result = run(SET, data=b"a/keyone", grants=grants)
    assert (result.result, store.values) == (-Errno.EACCES, {})
    assert b"has no grant 'kv:a/key'" in result.stderr
    assert b"moc push --grant" in result.stderr
    assert result.stderr.count(b"\n") == 1


def test_a_hostile_key_cannot_write_more_than_its_line(run):
    result = run(SET, data=b"\x1b[2\nJone")
    assert result.result == -Errno.EACCES
    assert result.stderr.count(b"\n") == 1
    assert b"\x1b" not in result.stderr


def test_a_bare_engine_has_no_persistence(run):
    assert run(SET, data=b"a/keyone", grants=("kv",), services=None).result == -Errno.ENOSYS


def test_a_missing_key_is_enoent_and_a_full_disk_enospc(run, store):
    assert run(f"{GET} (local.get $a)", data=b"a/key", grants=("kv",)).result == -Errno.ENOENT
    store.failure = StorageFullError("the value")
    assert run(SET, data=b"a/keyone", grants=("kv",)).result == -Errno.ENOSPC


def test_an_empty_or_endless_key_is_refused(run):
    for length in (0, 4097, -1):
        key = f"(i32.const 1024) (i32.const {length})"
        for body in (f"(call $persistence_set {key} (i32.const 8) (i32.const 1))", f"(call $persistence_get {key})"):
            assert run(body, grants=("kv",)).result == -Errno.EINVAL


SUBSET = "(local.set $a (call $persistence_get_subset (i32.const 1024) (i32.const 2)))"


def test_a_subset_is_a_json_object_of_all_pages(run, store, monkeypatch):
    monkeypatch.setattr(persistence, "_PAGE", 3)
    store.values = {f"a/{number:03}".encode(): b"" for number in range(7)} | {b"b/1": b"other"}
    assert json.loads(run(f"{SUBSET} {COPY}", data=b"a/", grants=("kv:a/",)).output) == {
        f"a/{number:03}": "" for number in range(7)
    }


def test_a_subset_that_does_not_fit_is_refused(run, store):
    store.values = {b"a/1": bytes(SCRATCH)}
    assert run(f"{SUBSET} (local.get $a)", data=b"a/", grants=("kv",)).result == -Errno.ENOSPC


def test_a_subset_needs_a_grant_for_all_of_its_prefix(run):
    assert run(f"{SUBSET} (local.get $a)", data=b"a/", grants=("kv:a/b",)).result == -Errno.EACCES


# -- calls ------------------------------------------------------------------------------------------------------------

ECHO = bytes(
    wasmtime.wat2wasm("""(module
      (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
      (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
      (import "core" "write_exchange_buffer_status_code" (func $status (param i32 i32) (result i32)))
      (import "core" "print_debug" (func $log (param i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "heard")
      (func (export "run") (param i32 i32) (result i32)
        (drop (call $log (i32.const 0) (i32.const 5)))
        (drop (call $status (i32.const 2) (i32.const 201)))
        (drop (call $write (i32.const 2) (i32.const 8) (call $read (i32.const 1) (i32.const 8) (i32.const 100))))
        (i32.sub (local.get 0) (local.get 1)))
      (func (export "broken") (unreachable))
      (func (export "float") (result f64) (f64.const 1)))""")
)


def call(
    name: tuple[int, int] = (1024, 4), entry: tuple[int, int] = (0, 0), numbers: tuple[int, int] = (0, 0),
    mode: tuple[int, int] = (0, 0), input: int = 1, output: int = 2, arguments: tuple[int, int] = (0, 0),
) -> str:  # fmt: skip
    values = (*name, *entry, *numbers, *mode, input, output, 0, 0, *arguments)
    return f"(call $call_function {' '.join(f'(i32.const {each})' for each in values)})"


DATA = b"echo" + (50).to_bytes(4, "little") + (8).to_bytes(4, "little")


def test_a_callee_gets_numbers_and_input_and_its_output_comes_back(run, store):
    store.modules["echo"] = ECHO
    result, context = run(call(numbers=(1028, 2)), data=DATA, input=b"what was said", grants=("call:e*",), context=True)
    assert (result.result, result.output, result.stderr) == (42, b"what was said", b"heard\n")
    assert context.output.status_code == 201


@pytest.mark.parametrize("grants", [(), ("call:other",), ("kv",)])
def test_a_call_without_its_grant_is_refused_whether_or_not_the_function_exists(run, store, grants):
    refused = [run(call(), data=b"echo", grants=grants) for store.modules in ({}, {"echo": ECHO})]
    assert [each.result for each in refused] == [-Errno.EACCES] * 2
    assert refused[0].stderr == refused[1].stderr
    assert b"has no grant 'call:echo'" in refused[0].stderr
    assert store.requests == []


def test_the_arguments_of_a_posix_call_are_pairs_of_pointer_and_length(run, store):
    pairs = b"".join(each.to_bytes(4, "little") for each in (1024, 4, 1030, 2))
    data = b"echoposixab".ljust(16) + pairs
    run(call(mode=(1028, 5), arguments=(1040, 2)), data=data, grants=("call",))
    (request,) = store.requests
    assert (request.mode, request.arguments) == (Mode.POSIX, ("echo", "si"))


@pytest.mark.parametrize(
    ("body", "errno"),
    [
        (call(), Errno.ENOENT),
        (call(input=77), Errno.EBADF),
        (call(output=77), Errno.EBADF),
        (call(mode=(1024, 4)), Errno.EINVAL),
        (call(numbers=(1024, -1)), Errno.E2BIG),
        (call(numbers=(131070, 100)), Errno.EFAULT),
        (call(arguments=(1024, 2000)), Errno.E2BIG),
        (call(name=(131070, 100)), Errno.EFAULT),
    ],
)
def test_a_call_that_cannot_be_made_is_refused_with_a_number(run, body, errno):
    assert run(body, data=b"echo", grants=("call",)).result == -errno


@pytest.mark.parametrize(
    ("failure", "errno"),
    [
        (OverloadedError(), Errno.EAGAIN),
        (LimitExceededError("echo", "call_depth", 16), Errno.ELOOP),
        (LimitExceededError("echo", "memory_bytes", 16), Errno.ENOMEM),
        (LimitExceededError("echo", "timeout_seconds", 1), Errno.ETIMEDOUT),
    ],
)
def test_why_there_is_no_callee_is_a_number_and_a_line(run, store, failure, errno):
    store.failure = failure
    result = run(call(), data=b"echo", grants=("call",))
    assert result.result == -errno
    assert result.stderr.decode() == f"{failure.message}\n"


@pytest.mark.parametrize(
    ("entry", "errno"), [(b"broken", Errno.EIO), (b"absent", Errno.ENOENT), (b"float", Errno.EOVERFLOW)]
)
def test_a_callee_that_fails_is_a_number_for_its_caller(run, store, entry, errno):
    store.modules["echo"] = ECHO
    body = call(entry=(1028, len(entry)))
    assert run(body, data=b"echo" + entry, grants=("call",)).result == -errno


def test_every_function_says_in_one_line_what_it_does():
    assert all(each.summary for each in CORE.functions.values())
