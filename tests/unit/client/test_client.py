"""The Python face: what people type and what the platform is asked."""

from __future__ import annotations

import numpy
import pytest

from moc_server_ext.client.handles import BufferHandle
from moc_server_ext.errors import (
    BufferNotFoundError,
    FunctionNotFoundError,
    GuestExitError,
    InvalidInputError,
    KeyConflictError,
    KeyNotFoundError,
    PlanError,
    TaskFailedError,
    TrapError,
)
from moc_server_ext.model import CallRequest, CallResult, Mode, RunState


def test_a_call_is_handed_on_with_everything(moc, platform):
    moc.call("f", 1, 2.5, "x", True, mode="direct", entry="e", env={"K": "V"}, input="ü", limits={"timeout_seconds": 2})
    assert platform.requests == [
        CallRequest(
            "f", ("1", "2.5", "x", "1"), Mode.DIRECT, "e", {"K": "V"}, "ü".encode(), limits={"timeout_seconds": 2.0}
        )
    ]


def test_numpy_scalars_are_numbers(moc, platform):
    moc.call("f", numpy.int32(7), numpy.float64(0.5))
    assert platform.requests[0].arguments == ("7", "0.5")


def test_a_call_gives_an_exit_code_as_a_result(moc, platform):
    platform.result = CallResult("c", None, 3, b"partial")
    assert moc.call("f").exit_code == 3


@pytest.mark.parametrize("argument", [b"bytes", None, [1], {}])
def test_an_argument_that_is_no_text_or_number_is_refused(moc, platform, argument):
    with pytest.raises(InvalidInputError, match="input="):
        moc.call("f", argument)
    assert platform.requests == []


@pytest.mark.parametrize("limits", [{"speed": 1}, {"memory_bytes": -1}])
def test_a_limit_that_is_none_is_refused_before_the_call(moc, platform, limits):
    with pytest.raises(InvalidInputError):
        moc.call("f", limits=limits)
    assert platform.requests == []


# -- functions as functions -------------------------------------------------------------------------------------------


@pytest.fixture
def up(moc):
    moc.functions.put("up", b"\0asm")
    return moc.functions["up"]


@pytest.mark.parametrize("given", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_one_bytes_argument_is_the_input(up, platform, given):
    assert up(given) == b"OUT"
    assert platform.requests[0].input == b"abc"
    assert platform.requests[0].arguments == ()


def test_text_is_an_argument_and_input_is_named(up, platform):
    assert up("-d", "hello", input="stdin") == b"OUT"
    assert platform.requests[0].arguments == ("-d", "hello")
    assert platform.requests[0].input == b"stdin"


def test_the_input_given_twice_is_refused(up):
    with pytest.raises(InvalidInputError, match="twice"):
        up(b"abc", input=b"def")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (CallResult("c", 5, None, b""), 5),
        (CallResult("c", 0, None, b"text"), 0),
        (CallResult("c", (1, 2), None, b""), (1, 2)),
        (CallResult("c", None, None, b"text"), b"text"),
        (CallResult("c", None, None, b""), None),
        (CallResult("c", None, 0, b""), b""),
    ],
)
def test_a_function_gives_what_it_is_called_for(up, platform, result, expected):
    platform.result = result
    assert up() == expected
    assert type(up()) is type(expected)


def test_a_non_zero_exit_code_is_raised_with_the_guests_last_words(up, platform):
    platform.result = CallResult("c", None, 3, b"", b"no such file\n")
    with pytest.raises(GuestExitError) as raised:
        up()
    assert raised.value.details == {"function": "up", "exit_code": 3, "stderr": "no such file\n"}


def test_functions_are_attributes_keys_and_a_listing(moc, up):
    assert moc.functions.up.name == "up"
    assert list(moc.functions) == ["up"]
    assert len(moc.functions) == 1
    assert "up" in moc.functions
    assert "down" not in moc.functions
    assert 5 not in moc.functions
    assert "up" in dir(moc.functions)
    assert moc.functions._ipython_key_completions_() == ["up"]
    del moc.functions["up"]
    assert list(moc.functions) == []


def test_an_unknown_function_names_the_nearest(moc, up):
    with pytest.raises(FunctionNotFoundError, match="'up'"):
        moc.functions["upp"]
    with pytest.raises(AttributeError, match="'up'"):
        moc.functions.upp  # noqa: B018
    assert not hasattr(moc.functions, "_repr_html_")


# -- buffers ----------------------------------------------------------------------------------------------------------


def test_a_buffer_is_set_read_and_deleted(moc):
    moc.buffers["x"] = b"0123456789"
    handle = moc.buffers["x"]
    assert bytes(handle) == b"0123456789"
    assert handle.read(2, 4) == b"23"
    assert len(handle) == 10
    assert handle.record.name == handle.name == "x"
    assert "x" in moc.buffers
    assert list(moc.buffers) == moc.buffers._ipython_key_completions_() == ["x"]
    del moc.buffers["x"]
    assert "x" not in moc.buffers
    with pytest.raises(BufferNotFoundError):
        handle.read()
    with pytest.raises(BufferNotFoundError):
        moc.buffers["x"]


def test_text_becomes_utf8_and_says_so(moc):
    moc.buffers["x"] = "grüß"
    assert moc.buffers["x"].read() == "grüß".encode()
    assert moc.buffers["x"].text() == "grüß"
    assert moc.buffers["x"].content_type == "text/plain; charset=utf-8"


def test_a_handle_can_be_assigned_to_another_name(moc):
    moc.buffers["x"] = "text"
    moc.buffers["y"] = moc.buffers["x"]
    assert moc.buffers["y"].text() == "text"
    assert moc.buffers["y"].content_type == moc.buffers["x"].content_type


def test_an_empty_buffer_is_true(moc):
    moc.buffers["x"] = b""
    assert moc.buffers["x"]
    assert len(moc.buffers["x"]) == 0


@pytest.mark.parametrize("content", [5, None, ["a"]])
def test_what_is_nothing_that_can_be_stored_is_refused(moc, content):
    with pytest.raises(InvalidInputError, match="Expected an array, bytes, text or a file"):
        moc.buffers["x"] = content
    assert "x" not in moc.buffers


@pytest.mark.parametrize("content_type", ["", "text", "text/plain\r\nX: y"])
def test_a_content_type_that_is_none_is_refused_as_a_server_does(moc, content_type):
    with pytest.raises(InvalidInputError, match="is no media type"):
        moc.buffers.put("x", b"", content_type)
    assert "x" not in moc.buffers


@pytest.mark.parametrize(
    "use",
    [
        lambda moc, name: moc.call(name),
        lambda moc, name: moc.functions[name],
        lambda moc, name: moc.functions.put(name, b""),
        lambda moc, name: moc.functions.__delitem__(name),
        lambda moc, name: moc.buffers[name],
        lambda moc, name: moc.buffers.put(name, b""),
        lambda moc, name: moc.buffers.__delitem__(name),
    ],
)
@pytest.mark.parametrize("name", [3, None, b"up"])
def test_a_name_that_is_no_text_is_refused(moc, platform, use, name):
    with pytest.raises(InvalidInputError, match="A name is text, not"):
        use(moc, name)
    assert platform.requests == []


def test_numbers_in_the_environment_become_text(moc, platform):
    moc.call("f", env={"DEPTH": 3, "LANG": "C"})
    assert platform.requests[0].env == {"DEPTH": "3", "LANG": "C"}


# -- key-values -------------------------------------------------------------------------------------------------------


def test_key_values_take_text_and_bytes(moc):
    moc.kv["a"] = "1"
    moc.kv[b"\xff"] = b"2"
    assert moc.kv["a"] == b"1"
    assert moc.kv[b"\xff"] == b"2"
    assert list(moc.kv) == [b"a", b"\xff"]
    assert len(moc.kv) == 2
    assert "a" in moc.kv
    assert "b" not in moc.kv
    assert 1 not in moc.kv
    assert moc.kv._ipython_key_completions_() == ["a", "\ufffd"]
    del moc.kv["a"]
    with pytest.raises(KeyNotFoundError):
        moc.kv["a"]


def test_all_keys_are_listed_over_several_pages(moc):
    for number in range(1003):
        moc.kv._client.platform.kv.set(b"k%04d" % number, b"")
    assert len(moc.kv) == 1003
    assert moc.kv.list("k000") == [b"k%04d" % number for number in range(10)]


def test_values_are_compared_counted_and_read_in_order(moc):
    assert moc.kv.get("n") is None
    assert moc.kv.get("n", "none") == "none"
    assert moc.kv.increment("n", 41) == 41
    assert moc.kv.increment("n") == 42
    moc.kv.compare_and_set("n", "42", b"done")
    moc.kv.compare_and_set("m", None, "first")
    with pytest.raises(KeyConflictError, match="'done'"):
        moc.kv.compare_and_set("n", "42", "again")
    assert moc.kv.get("n") == b"done"
    assert list(moc.kv.items()) == [(b"m", b"first"), (b"n", b"done")]
    assert list(moc.kv.items("n")) == [(b"n", b"done")]
    moc.kv.compare_and_set("n", "done", None)
    assert "n" not in moc.kv


def test_all_items_are_read_over_several_pages(moc):
    with moc.kv.transaction() as changes:
        for number in range(1003):
            changes[b"k%04d" % number] = b"%d" % number
    assert list(moc.kv.items("k")) == [(b"k%04d" % number, b"%d" % number) for number in range(1003)]


def test_a_transaction_makes_all_of_its_changes_at_the_end_of_the_block(moc):
    moc.kv["old"] = "1"
    with moc.kv.transaction() as changes:
        changes["a"] = "1"
        changes.increment("n", 5)
        changes.compare_and_set("old", "1", "2")
        del changes["old"]
        assert list(moc.kv) == [b"old"]
    assert list(changes.results) == [None, 5, None, None]
    assert list(moc.kv.items()) == [(b"a", b"1"), (b"n", b"5")]
    with pytest.raises(InvalidInputError, match="has ended"):
        changes["a"] = "2"


def test_a_transaction_whose_block_raises_or_whose_check_fails_changes_nothing(moc):
    with pytest.raises(ZeroDivisionError), moc.kv.transaction() as changes:  # noqa: PT012 - the block's end
        changes["a"] = "1"
        1 / 0  # noqa: B018
    with pytest.raises(KeyConflictError), moc.kv.transaction() as changes:  # noqa: PT012 - the block's end
        changes["a"] = "1"
        changes.compare_and_set("b", "old", "new")
    with pytest.raises(InvalidInputError, match="4,096"), moc.kv.transaction() as changes:  # noqa: PT012 - the block's end
        changes["a"] = "1"
        changes["x" * 4097] = "2"
    with moc.kv.transaction() as changes:
        pass
    assert list(changes.results) == list(moc.kv) == []


# -- map-reduce -------------------------------------------------------------------------------------------------------


def test_a_map_reduce_waits_tells_its_progress_and_gives_the_output(moc, platform):
    seen = []
    assert moc.mapreduce("text", map="m", reduce="r", partitions=5, progress=seen.append) == b"out"
    assert [each.tasks_done for each in seen] == [2, 3]
    assert platform.runs.plan.partitions == 5


def test_a_failed_run_raises_its_own_error(moc, platform):
    platform.runs.states = [RunState.FAILED]
    platform.runs.error = TaskFailedError("map", "m", 3, TrapError("m", "unreachable")).to_json()
    with pytest.raises(TaskFailedError, match="Task 3"):
        moc.mapreduce("text", map="m")


def test_a_cancelled_run_is_an_error(moc, platform):
    platform.runs.states = [RunState.CANCELLED]
    with pytest.raises(PlanError, match="cancelled"):
        moc.mapreduce("text", map="m")


def test_an_interrupt_cancels_the_run(moc, platform):
    def interrupt(run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moc.mapreduce("text", map="m", progress=interrupt)
    assert platform.runs.cancelled == ["r"]


# -- the client itself ------------------------------------------------------------------------------------------------


def test_reprs_hold_no_ids_times_or_addresses(moc, up):
    moc.buffers.put("x", b"hello world!", "text/plain")
    moc.buffers.put("y", b"1", "text/plain")
    assert repr(moc) == "<moc client: embedded on DIR>"
    assert repr(moc.buffers["x"]) == "<buffer 'x': 12 bytes, text/plain>"
    assert repr(moc.buffers["y"]) == "<buffer 'y': 1 byte, text/plain>"
    assert repr(up) == "<function 'up': add(i32, i32) -> (i32)>"
    assert repr(moc.functions) == "<functions: up>"
    assert repr(moc.buffers) == "<buffers: x, y>"
    assert repr(moc.kv) == "<kv>"
    assert repr(BufferHandle(moc, "x")) == repr(moc.buffers["x"])


def test_closing_closes_the_platform_and_can_be_repeated(moc, platform):
    with moc:
        assert not moc.closed
    moc.close()
    assert moc.closed
    assert platform.closed


# -- arrays as inputs and outputs -------------------------------------------------------------------------------------

IMAGE = numpy.arange(6, dtype="float32").reshape(2, 3)
HEADERS = {"moc-dtype": "float32", "moc-shape": "[2,3]"}


@pytest.mark.parametrize("given", [IMAGE, numpy.asfortranarray(IMAGE), IMAGE.astype(">f4")])
def test_an_array_in_the_first_place_is_the_input_and_says_what_it_is(moc, up, platform, given):
    up(given, 3)
    moc.call("up", 3, input=given)
    for request in platform.requests:
        assert (bytes(request.input), request.input_headers, request.arguments) == (IMAGE.tobytes(), HEADERS, ("3",))


def test_an_array_goes_out_as_its_own_memory(moc, platform):
    moc.call("up", IMAGE)
    assert numpy.shares_memory(numpy.frombuffer(platform.requests[0].input, "uint8"), IMAGE)


def test_buffers_and_results_bring_their_type_along(moc, platform):
    moc.buffers.put("x", IMAGE, "application/x-image")
    moc.call("up", moc.buffers["x"])
    moc.call("up", input=CallResult("c", None, 0, IMAGE.tobytes(), output_headers=HEADERS))
    assert [dict(request.input_headers) for request in platform.requests] == [
        {**HEADERS, "content-type": "application/x-image"},
        HEADERS,
    ]


def test_an_output_that_is_an_array_is_given_as_one_of_ones_own(up, platform):
    platform.result = CallResult("c", None, 0, IMAGE.tobytes(), output_headers=HEADERS)
    found = up()
    numpy.testing.assert_array_equal(found, IMAGE, strict=True)
    found += 1


def test_an_array_given_twice_or_of_no_numbers_is_refused(moc, up, platform):
    with pytest.raises(InvalidInputError, match="twice"):
        up(IMAGE, input=b"x")
    with pytest.raises(InvalidInputError, match="objects"):
        up(numpy.array([{}]))
    assert platform.requests == []


def test_the_zarr_store_of_ones_own_storage_is_the_storages(moc, platform):
    moc.buffers["x"] = IMAGE
    with pytest.raises(InvalidInputError, match="moc serve"):
        moc.zarr_url("x")
    assert moc.zarr_store("buffers/x").read_only
