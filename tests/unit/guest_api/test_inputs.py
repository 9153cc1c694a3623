"""Several inputs from the guest's side: how many there are, their handles, and what may be done with them."""

from __future__ import annotations

from typing import Any

import pytest

from moc_server_ext.buffers.exchange import ExchangeBuffer, input_buffers
from moc_server_ext.errors import InvalidInputError
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.guest_api.errno import Errno, GuestErrno
from moc_server_ext.model import INPUTS_MAX, CallInput, CallRequest, Invocation, Limits, Mode


class Memory:
    def read(self, pointer: int, length: int) -> bytes:
        return b"x" * length


def context(*inputs: CallInput, **limits: Any) -> CallContext:
    invocation = Invocation("f", "0" * 64, Mode.DIRECT, "run", limits=Limits(**limits))
    first, *more = input_buffers(inputs)
    call = CallContext(invocation, first, more_inputs=more)
    call.memory = Memory()  # type: ignore[assignment]
    return call


@pytest.fixture
def call() -> CallContext:
    return context(CallInput(b"one"), CallInput(b"two", {"content-type": "text/x"}), CallInput(b"three"))


def ask(call: CallContext, name: str, *numbers: int) -> Any:
    return CORE.functions[name].body(call, *numbers)


def refusal(call: CallContext, name: str, *numbers: int) -> Errno:
    with pytest.raises(GuestErrno) as refused:
        ask(call, name, *numbers)
    return refused.value.number


def test_a_call_without_input_has_one_that_is_empty():
    call = context(CallInput(b""))
    assert ask(call, "get_input_buffer_count") == 1
    assert ask(call, "get_input_buffer_id_at", 0) == ask(call, "get_input_buffer_id")


def test_inputs_come_after_input_and_output_and_before_what_the_guest_makes(call):
    assert ask(call, "get_input_buffer_count") == 3
    assert [ask(call, "get_input_buffer_id_at", index) for index in range(3)] == [1, 3, 4]
    assert [bytes(call.buffer(handle).peek()) for handle in (1, 3, 4)] == [b"one", b"two", b"three"]
    assert (ask(call, "get_output_buffer_id"), ask(call, "create_exchange_buffer")) == (2, 5)
    assert call.inputs == [call.buffer(1), call.buffer(3), call.buffer(4)]


@pytest.mark.parametrize("index", [3, 64, -1, 2**31 - 1, -(2**31)])
def test_beyond_the_last_input_there_is_no_handle(call, index):
    assert refusal(call, "get_input_buffer_id_at", index) is Errno.EINVAL


def test_each_input_has_headers_of_its_own(call):
    handle = ask(call, "read_exchange_buffer_headers", 3)
    assert bytes(call.buffer(handle).peek()) == b'{"content-type": "text/x"}'


@pytest.mark.parametrize("handle", [1, 3, 4])
def test_an_input_can_be_neither_written_nor_freed(call, handle):
    assert refusal(call, "write_exchange_buffer", handle, 0, 1) is Errno.EPERM
    assert refusal(call, "write_exchange_buffer_header", handle, 0, 1, 0, 1) is Errno.EPERM
    assert refusal(call, "write_exchange_buffer_status_code", handle, 200) is Errno.EPERM
    assert refusal(call, "free_buffer", handle) is Errno.EPERM


def test_inputs_count_neither_as_buffers_nor_as_scratch_bytes():
    call = context(CallInput(b"12345678"), CallInput(bytes(100)), buffers=1, scratch_bytes=10)
    made = ask(call, "create_exchange_buffer")
    assert ask(call, "write_exchange_buffer", made, 0, 10) == 10
    assert refusal(call, "write_exchange_buffer", made, 0, 1) is Errno.ENOSPC
    assert refusal(call, "create_exchange_buffer") is Errno.EMFILE
    ask(call, "free_buffer", made)
    assert ask(call, "create_exchange_buffer") == made + 1


def test_another_input_in_the_place_of_the_first_is_the_one_that_the_guest_finds():
    call = context(CallInput(b"one"), CallInput(b"two"))
    call.input = ExchangeBuffer(b"poured")
    assert bytes(call.inputs[0].peek()) == bytes(call.buffer(1).peek()) == b"poured"
    assert call.input_bytes == len(b"poured") + len(b"two")


def test_a_request_has_no_more_inputs_than_there_may_be():
    most = tuple(CallInput(b"") for _ in range(INPUTS_MAX - 1))
    assert len(CallRequest("f", more_inputs=most).more_inputs) == INPUTS_MAX - 1
    with pytest.raises(InvalidInputError, match=f"at most {INPUTS_MAX} inputs; found {INPUTS_MAX + 1}"):
        CallRequest("f", more_inputs=(*most, CallInput(b"")))
