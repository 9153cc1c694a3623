"""Array functions in a whole cluster: an array in, an array out, through every way in which a call is driven."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from array_guests import SAME, array_function, headers_of, result_of
from moc_server_ext.abc import CallStreams
from moc_server_ext.buffers.channel import Channel
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import (
    ArrayRequiredError,
    CancelledError,
    EntryPointNotFoundError,
    GuestExitError,
    GuestStatusError,
    InvalidArgumentsError,
    InvalidInputError,
    InvalidModuleError,
    LimitExceededError,
    MemoryBudgetError,
)
from moc_server_ext.model import CallRequest, CallResult, Declaration, Grants, Mode

MIB = 1 << 20
IMAGE = numpy.arange(6, dtype="float32").reshape(2, 3)
FLOAT64 = 0x408

# Gives its numbers back as an array of float64, so that a test sees what arrived.
NUMBERS = """
  (f64.store (i32.const 1024) (f64.convert_i32_s (local.get $i32)))
  (f64.store (i32.const 1032) (f64.convert_i64_s (local.get $i64)))
  (f64.store (i32.const 1040) (f64.promote_f32 (local.get $f32)))
  (f64.store (i32.const 1048) (local.get $f64))
""" + result_of(1024, FLOAT64, 4)

# How often this instance was called, and how many pages it has.
COUNT = """(i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
  (i32.store (i32.const 68) (memory.size))""" + result_of(64, 0x204, 2)

CALLER = """(module
  (import "core" "call_function" (func $call
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "core" "create_exchange_buffer" (func $create (result i32)))
  (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
  (import "core" "write_exchange_buffer_header" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "same") (data (i32.const 32) "moc-dtype") (data (i32.const 48) "float32")
  (data (i32.const 64) "moc-shape") (data (i32.const 80) "[2,3]")
  (func $forward (param $input i32) (result i32)
    (call $call (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (local.get $input) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
  (func (export "forward") (result i32) (call $forward (i32.const 1)))
  (func (export "made") (result i32) (local $id i32)
    (local.set $id (call $create))
    (drop (call $header (local.get $id) (i32.const 32) (i32.const 9) (i32.const 48) (i32.const 7)))
    (drop (call $header (local.get $id) (i32.const 64) (i32.const 9) (i32.const 80) (i32.const 5)))
    (drop (call $write (local.get $id) (i32.const 1024) (i32.const 24)))
    (call $forward (local.get $id))))"""


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root: Path = tmp_path_factory.mktemp("arrays")
    with Cluster.open(root / "storage", cache_directory=root / "modules") as cluster:
        yield cluster


@pytest.fixture(params=["blocking", "loop"])
def call(request: pytest.FixtureRequest, moc: Cluster) -> Callable[..., CallResult]:
    """Call with an array, under both drivers."""

    def call(name: str, array: Any = IMAGE, *arguments: object, **more: Any) -> CallResult:
        headers = more.pop("headers", None) or headers_of(array)
        asked = CallRequest(
            name,
            tuple(map(str, arguments)),
            input=numpy.ascontiguousarray(array).tobytes(),
            input_headers=headers,
            **more,
        )
        return asyncio.run(moc.call(asked)) if request.param == "loop" else moc.call_sync(asked)

    return call


def test_an_array_goes_in_and_comes_back_with_its_type_and_shape(moc, call):
    moc.functions.put("same", array_function())
    result = call("same")
    assert (result.result, result.exit_code, result.function) == (None, None, "same")
    assert result.output_headers == {"moc-dtype": "float32", "moc-shape": "[2,3]"}
    assert result.array is not None
    assert (result.array.dtype, result.array.shape) == ("float32", (2, 3))
    numpy.testing.assert_array_equal(result.to_numpy(), IMAGE)
    assert result.to_numpy().dtype == numpy.dtype("<f4")


def test_the_result_of_a_call_survives_its_json(moc, call):
    moc.functions.put("same", array_function())
    result = call("same")
    assert CallResult.from_json(result.to_json()) == result
    numpy.testing.assert_array_equal(CallResult.from_json(result.to_json()).to_numpy(), IMAGE)


@pytest.mark.parametrize(
    "shape", [(), (0,), (0, 1 << 31), (3, 0), (1,) * 32, (1 << 20,), (3, 5 << 17), ((1 << 20) - 3,)]
)
def test_arrays_of_every_size_arrive_whole(moc, call, shape):
    moc.functions.put("same", array_function())
    array = numpy.random.default_rng(0).integers(0, 256, shape if 0 not in shape else 0, dtype="uint8").reshape(shape)
    result = call("same", array)
    assert result.to_numpy().shape == shape
    assert result.output == array.tobytes()


def test_numbers_of_all_types_stand_between_the_array_and_the_result(moc, call):
    moc.functions.put("numbers", array_function(NUMBERS, name="numbers", numbers=("i32", "i64", "f32", "f64")))
    assert call("numbers", IMAGE, -7, 1 << 40, 0.5, -0.25).to_numpy().tolist() == [-7, 1 << 40, 0.5, -0.25]


def test_the_numbers_are_counted_without_the_pointers(moc, call):
    moc.functions.put("numbers", array_function(NUMBERS, name="numbers", numbers=("i32", "i64", "f32", "f64")))
    with pytest.raises(
        InvalidArgumentsError, match=r"'numbers' of function 'numbers' takes 4 arguments \(i32, i64, f32, f64\)"
    ):
        call("numbers", IMAGE, 1)


def test_the_elements_are_aligned_to_16_bytes_and_lie_behind_the_guests_own_memory(moc, call):
    body = "(i32.store (i32.const 64) (i32.load (local.get $array)))" + result_of(64, 0x304)
    moc.functions.put("where", array_function(body, name="where"))
    at = int(call("where").to_numpy())
    assert at % 16 == 0
    assert at >= 1 << 16


def test_the_structure_is_as_the_reference_says(moc, call):
    # The structure itself is the result.
    body = "(i32.store (local.get $result) (local.get $array))" + "".join(
        f"(i32.store offset={at} (local.get $result) (i32.const {value}))"
        for at, value in ((4, 0x304), (8, 1), (12, 35))
    )
    moc.functions.put("show", array_function(body, name="show"))
    bytes_at, dtype, ndim, *shape = call("show", numpy.zeros((2, 3, 5), "complex128")).to_numpy().tolist()
    assert (dtype, ndim, shape[:3]) == (0x510, 3, [2, 3, 5])
    assert set(shape[3:]) == {0}
    assert bytes_at % 16 == 0


@pytest.mark.parametrize("reusable", [False, True])
@pytest.mark.parametrize("names", [("_initialize",), ("__wasm_call_ctors",), ("_initialize", "__wasm_call_ctors")])
def test_what_initializes_runs_once_and_before_the_array_is_there(moc, call, names, reusable):
    more = "(global $pages (mut i32) (i32.const 0)) (func $add (param $by i32)"
    more += "(global.set $pages (i32.add (global.get $pages) (i32.mul (memory.size) (local.get $by)))))"
    for name, by in zip(names, (1, 100), strict=False):
        more += f'(func (export "{name}") (call $add (i32.const {by})))'
    body = "(i32.store (i32.const 64) (global.get $pages))" + result_of(64, 0x304)
    source = array_function(body, name="pages", more=more)
    moc.functions.put("pages", source, Declaration(reusable=reusable))
    for _ in range(2):
        assert int(call("pages", numpy.zeros(MIB, "uint8")).to_numpy()) == 1


# -- which entry point ------------------------------------------------------------------------------------------------

BOTH = f"""(module (memory (export "memory") 1)
  (func (export "run") (result i32) (i32.const 7))
  (func (export "chunk/1:run") (param $array i32) (param $result i32) (result i32) {SAME} (i32.const 0))
  (func (export "other") (result i32) (i32.const 8)))"""


@pytest.mark.parametrize("name", ["run", "another"])
def test_of_two_exports_with_one_name_an_array_goes_to_the_array_function(moc, call, name):
    moc.functions.put(name, wat_to_wasm(BOTH))
    assert call(name, entry="run").output == IMAGE.tobytes()
    assert moc.call_sync(CallRequest(name, entry="run")).result == 7


def test_an_array_function_needs_an_array_and_says_how_to_give_one(moc):
    moc.functions.put("same", array_function())
    for entry in (None, "same", "chunk/1:same"):
        with pytest.raises(ArrayRequiredError, match="--dtype float32 --shape 120,180 same"):
            moc.call_sync(CallRequest("same", entry=entry, input=b"1234"))


def test_an_entry_point_that_is_not_there_is_answered_with_names_that_can_be_typed(moc, call):
    moc.functions.put("f", wat_to_wasm(BOTH))
    with pytest.raises(EntryPointNotFoundError, match=r"It exports 'run' and 'other'"):
        call("f")
    with pytest.raises(EntryPointNotFoundError, match=r"no entry point 'blur'. It exports 'run' and 'other'"):
        call("f", entry="blur")


def test_an_array_function_beside_a_program_is_called_directly(moc, call):
    source = BOTH.replace('"other"', '"_start"').replace("(result i32) (i32.const 8)", "")
    moc.functions.put("f", wat_to_wasm(source))
    assert call("f", entry="run").output == IMAGE.tobytes()
    assert call("f").exit_code == 0
    with pytest.raises(
        InvalidInputError, match="'run' of function 'f' takes an array, so it cannot start in posix mode"
    ):
        call("f", entry="run", mode=Mode.POSIX)


@pytest.mark.parametrize(
    ("export", "types", "memory", "reason"),
    [
        ("chunk/1:f", "(param i32) (result i32)", True, "has the type"),
        ("chunk/1:f", "(param i32 i64) (result i32)", True, "has the type"),
        ("chunk/1:f", "(param i32 v128 i32) (result i32)", True, "has the type"),
        ("chunk/1:f", "(param i32 i32)", True, "has the type"),
        ("chunk/1:f", "(param i32 i32) (result i32)", False, "no memory named 'memory'"),
        ("chunk/2:f", "(param i32 i32) (result i32)", True, "knows array functions of chunk/1 only"),
    ],
)
def test_a_module_that_declares_what_cannot_be_called_is_refused_when_it_is_registered(
    moc, export, types, memory, reason
):
    exported = '(memory (export "memory") 1)' if memory else ""
    with pytest.raises(InvalidModuleError, match=reason):
        moc.functions.put("f", wat_to_wasm(f'(module {exported} (func (export "{export}") {types} unreachable))'))


# -- input that is not what it is said to be --------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "found"), [("[2,2]", "more than 16"), ("[2,4]", "24"), ("[0]", "more than 0")])
def test_an_input_of_another_length_than_its_shape_is_refused(moc, call, shape, found):
    moc.functions.put("same", array_function())
    with pytest.raises(InvalidInputError, match=f"which has .* bytes; found {found}"):
        call("same", headers={"moc-dtype": "float32", "moc-shape": shape})


@pytest.mark.parametrize(
    "headers", [{"moc-dtype": "float32"}, {"moc-shape": "[6]"}, {"moc-dtype": "object", "moc-shape": "[6]"},
                {"moc-dtype": ">f4", "moc-shape": "[6]"}, {"moc-dtype": "int8", "moc-shape": "[-1]"}],
)  # fmt: skip
def test_headers_that_say_nothing_right_are_refused_before_anything_runs(moc, call, headers):
    moc.functions.put("same", array_function())
    with pytest.raises(InvalidInputError):
        call("same", headers=headers)


def test_an_axis_that_guests_have_no_number_for_is_refused(moc, call):
    moc.functions.put("same", array_function())
    with pytest.raises(InvalidInputError, match=r"an axis has at most 2\^32 - 1 elements"):
        call("same", numpy.zeros(0), headers={"moc-dtype": "float64", "moc-shape": f"[0,{1 << 32}]"})


# -- how it ends ------------------------------------------------------------------------------------------------------


def test_a_number_other_than_0_is_an_error_that_has_it_and_the_stderr(moc, call):
    more = """(import "core" "print_debug" (func $log (param i32 i32) (result i32)))
      (data (i32.const 16) "expected two axes")"""
    body = "(drop (call $log (i32.const 16) (i32.const 17)))"
    moc.functions.put("f", array_function(body, name="f", status="(i32.const -3)", more=more))
    with pytest.raises(GuestStatusError, match="gave -3 back, where 0 is success") as caught:
        call("f")
    assert caught.value.details["exit_code"] == -3
    assert caught.value.stderr == "expected two axes\n"
    assert isinstance(caught.value, GuestExitError)


@pytest.mark.parametrize("code", [0, 3])
def test_a_guest_that_ends_its_program_gives_no_array(moc, call, code):
    more = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
    moc.functions.put("f", array_function(f"(call $exit (i32.const {code}))", name="f", more=more))
    with pytest.raises(GuestStatusError, match=f"ended its program with exit code {code}: there is no array"):
        call("f")


def test_a_guest_may_change_its_input_and_give_it_back(moc, call):
    body = f"(f32.store (i32.load (local.get $array)) (f32.const 9)) {SAME}"
    moc.functions.put("f", array_function(body, name="f"))
    assert call("f").to_numpy().tolist() == [[9, 1, 2], [3, 4, 5]]
    assert IMAGE[0, 0] == 0


def test_the_guest_finds_the_headers_of_its_input_and_nothing_left_to_read(moc, call):
    more = """(import "core" "read_exchange_buffer_headers" (func $headers (param i32) (result i32)))
      (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))"""
    body = """(local $n i32)
      (if (call $read (i32.const 1) (i32.const 0) (i32.const 0)) (then unreachable))
      (local.set $n (call $read (call $headers (i32.const 1)) (i32.const 64) (i32.const 500)))""" + result_of(
        64, 0x301, 0
    )
    body += "(i32.store offset=12 (local.get $result) (local.get $n))"
    body = body.replace("(local $n i32)", "")
    wat = array_function(body.replace("$n", "$i32"), name="f", numbers=("i32",), more=more)
    moc.functions.put("f", wat)
    assert b'"moc-shape": "[2,3]"' in call("f", IMAGE, 0).output


# -- from a program, to a program -------------------------------------------------------------------------------------

DIRECT_ECHO = """(module
  (import "core" "read_exchange_buffer_headers" (func $headers (param i32) (result i32)))
  (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
  (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
  (import "core" "write_exchange_buffer_header" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "moc-dtype") (data (i32.const 48) "%s") (data (i32.const 64) "moc-shape")
  (data (i32.const 80) "%s")
  (func (export "run") (result i32) (local $n i32)
    (local.set $n (call $read (i32.const 1) (i32.const 1024) (i32.const 1000)))
    (drop (call $header (i32.const 2) (i32.const 32) (i32.const 9) (i32.const 48) (i32.const %d)))
    (drop (call $header (i32.const 2) (i32.const 64) (i32.const 9) (i32.const 80) (i32.const %d)))
    (call $write (i32.const 2) (i32.const 1024) (local.get $n))))"""


def test_any_guest_gives_an_array_by_the_headers_of_its_output(moc, call):
    moc.functions.put("f", wat_to_wasm(DIRECT_ECHO % ("int16", "[4,3]", 5, 5)))
    result = call("f")
    assert result.result == 24
    assert result.to_numpy().shape == (4, 3)


@pytest.mark.parametrize(("dtype", "shape"), [("int16", "[4,4]"), ("int99", "[4,3]"), ("int16", "hello")])
def test_an_output_whose_headers_do_not_fit_is_bytes(moc, call, dtype, shape):
    moc.functions.put("f", wat_to_wasm(DIRECT_ECHO % (dtype, shape, len(dtype), len(shape))))
    result = call("f")
    assert result.array is None
    assert result.output == IMAGE.tobytes()
    with pytest.raises(InvalidInputError, match="The output of function 'f' is no array: it has 24 bytes"):
        result.to_numpy()


@pytest.mark.parametrize("entry", ["forward", "made"])
def test_a_guest_calls_an_array_function_with_the_headers_of_its_buffer(moc, call, entry):
    moc.functions.put("same", array_function())
    moc.functions.put("caller", wat_to_wasm(CALLER), Declaration(grants=Grants(frozenset({"call"}))))
    result = call("caller", entry=entry)
    assert result.result == 0
    expected = IMAGE if entry == "forward" else numpy.zeros((2, 3), "float32")
    numpy.testing.assert_array_equal(result.to_numpy(), expected)


def test_a_guest_that_calls_an_array_function_without_an_array_is_told_so(moc, call):
    moc.functions.put("same", array_function())
    moc.functions.put("caller", wat_to_wasm(CALLER), Declaration(grants=Grants(frozenset({"call"}))))
    result = call("caller", entry="forward", headers={"x-other": "1"})
    assert result.result == -28
    assert b"takes an array as its input" in result.stderr


# -- streams ----------------------------------------------------------------------------------------------------------


def test_an_input_that_comes_in_parts_is_put_together(moc):
    moc.functions.put("same", array_function())
    array = numpy.arange(3 * MIB, dtype="uint8")
    content = array.tobytes()
    parts = [content[:1], content[1 : MIB + 7], b"", content[MIB + 7 :]]
    taken: list[bytes] = []
    streams = CallStreams(source=iter(parts), output=taken.append)
    result = moc.call_sync(CallRequest("same", input_headers=headers_of(array)), streams)
    assert b"".join(taken) == content
    assert result.output_headers["moc-shape"] == f"[{3 * MIB}]"


def live(
    moc: Cluster, parts: list[bytes], array: Any, *, name: str = "same", entry: str | None = None, **more: Any
) -> CallResult:
    """Call with a channel that is fed while the call goes on."""

    async def run() -> CallResult:
        source = Channel()
        asked = CallRequest(name, entry=entry, input_headers=headers_of(array), **more)
        task = asyncio.create_task(moc.call(asked, input=source))
        for part in parts:
            await source.writable()
            source.write(part)
            await asyncio.sleep(0)
        source.close()
        return await task

    return asyncio.run(run())


@pytest.mark.parametrize("name", ["same", "caller"])
def test_a_live_input_is_waited_for_and_fills_the_guests_memory(moc, name):
    moc.functions.put("same", array_function())
    moc.functions.put("caller", wat_to_wasm(CALLER), Declaration(grants=Grants(frozenset({"call"}))))
    array = numpy.arange(2 * MIB, dtype="uint8")
    content = array.tobytes()
    parts = [content[at : at + 100_000] for at in range(0, len(content), 100_000)]
    result = live(moc, parts, array, name=name, entry="forward" if name == "caller" else None)
    assert result.output == content


@pytest.mark.parametrize(("parts", "found"), [([b"12345"], "5"), ([b"1" * 24, b"2"], "more than 24")])
def test_a_live_input_of_another_length_is_refused(moc, parts, found):
    moc.functions.put("same", array_function())
    with pytest.raises(InvalidInputError, match=f"found {found}"):
        live(moc, parts, IMAGE)


def test_waiting_for_a_live_array_ends_with_the_calls_time(moc):
    moc.functions.put("same", array_function())

    async def run() -> None:
        asked = CallRequest("same", input_headers=headers_of(IMAGE), limits={"timeout_seconds": 0.2})
        await moc.call(asked, input=Channel())

    with pytest.raises(LimitExceededError, match="timeout_seconds"):
        asyncio.run(run())


def test_waiting_for_a_live_array_is_ended_by_a_cancellation(moc):
    moc.functions.put("same", array_function())

    async def run() -> None:
        asked = CallRequest("same", input_headers=headers_of(IMAGE), call_id="c" * 16)
        task = asyncio.create_task(moc.call(asked, input=Channel()))
        while moc.activity().waiting == 0:
            await asyncio.sleep(0.001)
        moc.calls.cancel("c" * 16)
        await task

    with pytest.raises(CancelledError):
        asyncio.run(run())
    assert moc.activity().memory_bytes == 0


def test_the_loop_goes_on_while_a_large_array_is_copied(moc):
    moc.functions.put("same", array_function())
    array = numpy.zeros(16 * MIB, "uint8")
    turns = 0

    async def run() -> CallResult:
        nonlocal turns
        task = asyncio.create_task(moc.call(CallRequest("same", input=array.data, input_headers=headers_of(array))))
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        return await task

    assert asyncio.run(run()).to_numpy().nbytes == 16 * MIB
    # In one piece it would be a handful.
    assert turns > 16


# -- limits -----------------------------------------------------------------------------------------------------------


def test_an_array_that_the_guest_has_no_room_for_is_a_limit(moc, call):
    moc.functions.put("same", array_function())
    with pytest.raises(LimitExceededError, match="'same' reached its limit memory_bytes = 1,048,576") as caught:
        call("same", numpy.zeros(MIB, "uint8"), limits={"memory_bytes": MIB})
    assert caught.value.details["found"] == MIB + 2 * 65536


def test_a_memory_that_may_not_grow_is_said_in_words(moc, call):
    wat = f"""(module (memory (export "memory") 1 2)
      (func (export "chunk/1:f") (param $array i32) (param $result i32) (result i32) {SAME} (i32.const 0)))"""
    moc.functions.put("f", wat_to_wasm(wat))
    assert call("f").output == IMAGE.tobytes()
    with pytest.raises(Exception, match="declares that its memory of 65,536 bytes may not grow by so much"):
        call("f", numpy.zeros(MIB, "uint8"))


def test_a_result_beyond_the_output_limit_is_a_limit(moc, call):
    moc.functions.put("same", array_function())
    with pytest.raises(LimitExceededError, match=r"output_bytes = 23 \(it asked for 24\)"):
        call("same", limits={"output_bytes": 23})


def test_the_memory_of_arrays_counts_in_the_servers_budget(tmp_path):
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules", memory_bytes=4 * MIB) as moc:
        moc.functions.put("same", array_function())
        asked = CallRequest(
            "same", input=bytes(8 * MIB), input_headers={"moc-dtype": "int8", "moc-shape": f"[{8 * MIB}]"}
        )
        with pytest.raises(MemoryBudgetError):
            moc.call_sync(asked)
        assert moc.activity().memory_bytes == 0


def test_the_memory_of_an_array_of_a_callee_is_of_its_callers(moc, call):
    moc.functions.put("same", array_function())
    moc.functions.put("caller", wat_to_wasm(CALLER), Declaration(grants=Grants(frozenset({"call"}))))
    result = call("caller", numpy.zeros(MIB, "uint8"), entry="forward", limits={"memory_bytes": MIB})
    assert result.result == -48
    assert b"memory_bytes" in result.stderr


# -- prepared ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reusable", [False, True])
def test_a_prepared_call_takes_an_array_each_time(moc, reusable):
    moc.functions.put("count", array_function(COUNT, name="count"), Declaration(reusable=reusable))
    headers = {"moc-dtype": "uint8", "moc-shape": "[3]"}
    with moc.prepare(CallRequest("count", input_headers=headers)) as prepared:
        counts = [int(prepared.run(b"abc", input_headers=headers).to_numpy()[0]) for _ in range(3)]
    assert counts == ([1, 2, 3] if reusable else [1, 1, 1])


def test_a_warm_instance_uses_its_room_for_arrays_again_and_makes_it_longer(moc):
    moc.functions.put("count", array_function(COUNT, name="count"), Declaration(reusable=True))
    pages = []
    with moc.prepare(CallRequest("count")) as prepared:
        for size in (100, 100, 3 * MIB, 2 * MIB, 3 * MIB):
            headers = {"moc-dtype": "uint8", "moc-shape": f"[{size}]"}
            pages.append(int(prepared.run(bytes(size), input_headers=headers).to_numpy()[1]))
    assert pages == [2, 2, 50, 50, 50]


def test_an_instance_that_holds_half_of_its_memory_is_not_kept(moc):
    body = f"(drop (memory.grow (i32.const 40))) {COUNT}"
    moc.functions.put(
        "count", array_function(body, name="count"), Declaration(reusable=True, limits={"memory_bytes": 8 * MIB})
    )
    headers = {"moc-dtype": "uint8", "moc-shape": "[3]"}
    with moc.prepare(CallRequest("count")) as prepared:
        counts = [int(prepared.run(b"abc", input_headers=headers).to_numpy()[0]) for _ in range(4)]
    assert counts == [1, 2, 1, 2]


def test_a_warm_instance_gives_the_right_arrays_to_several_threads(moc):
    moc.functions.put("same", array_function(), Declaration(reusable=True))
    wrong: list[int] = []
    with moc.prepare(CallRequest("same")) as prepared:

        def work(seed: int) -> None:
            for size in range(1, 40):
                array = numpy.random.default_rng(seed).integers(0, 256, size * 1000, dtype="uint8")
                if prepared.run(array.tobytes(), input_headers=headers_of(array)).output != array.tobytes():
                    wrong.append(size)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert wrong == []


def test_a_failed_call_of_a_warm_instance_ends_it_and_the_next_gets_another(moc):
    body = f"(if (i32.eqz (i32.load offset=8 (local.get $array))) (then unreachable)) {COUNT}"
    moc.functions.put("count", array_function(body, name="count"), Declaration(reusable=True))
    good, bad = {"moc-dtype": "uint8", "moc-shape": "[3]"}, {"moc-dtype": "uint8", "moc-shape": "[]"}
    with moc.prepare(CallRequest("count")) as prepared:
        assert prepared.run(b"abc", input_headers=good).to_numpy()[0] == 1
        with pytest.raises(Exception, match="unreachable"):
            prepared.run(b"a", input_headers=bad)
        assert prepared.run(b"abc", input_headers=good).to_numpy()[0] == 1
        with pytest.raises(ArrayRequiredError):
            prepared.call()
        with pytest.raises(ArrayRequiredError):
            prepared.run(b"abc")
