"""Arguments, environment, clocks, random bytes, exit, sockets; and what is declared but not there."""

from __future__ import annotations

import struct
import time

import pytest

from moc_server_ext.engines.wasi import PREVIEW1, UNSTABLE, GuestExit
from moc_server_ext.errors import CancelledError, InvalidInputError, LimitExceededError
from moc_server_ext.guest_api.errno import Errno

MEMORY_BYTES = 1 << 20
RESULT, POINTERS, STRINGS = 64, 1024, 4096


def strings(guest, kind):
    guest.need(getattr(guest, f"{kind}_sizes_get")(RESULT, RESULT + 4))
    count, size = struct.unpack("<II", guest.memory.read(RESULT, 8))
    guest.need(getattr(guest, f"{kind}_get")(POINTERS, STRINGS))
    block = guest.memory.read(STRINGS, size)
    starts = struct.unpack(f"<{count}I", guest.memory.read(POINTERS, 4 * count))
    return [block[start - STRINGS : block.index(b"\0", start - STRINGS)] for start in starts]


def test_the_function_is_the_first_argument(make_guest):
    guest = make_guest(arguments=("a", "", "ü \n", "-x"))
    assert strings(guest, "args") == [b"guest", b"a", b"", "ü \n".encode(), b"-x"]


def test_the_environment_is_the_invocations_and_nothing_of_the_host(make_guest):
    assert strings(make_guest(env={"A": "1", "EMPTY": "", "B": "x=y"}), "environ") == [b"A=1", b"EMPTY=", b"B=x=y"]
    assert strings(make_guest(), "environ") == []


def test_bytes_of_a_command_line_that_are_not_utf8_arrive_as_they_were(make_guest):
    assert strings(make_guest(arguments=(b"caf\xe9".decode("utf-8", "surrogateescape"),)), "args")[1] == b"caf\xe9"


@pytest.mark.parametrize(("invocation", "function", "message"), [
    ({"arguments": ("a\0b",)}, "args_sizes_get", "NUL"),
    ({"arguments": ("x" * (1 << 20),)}, "args_sizes_get", "1,048,576"),
    ({"arguments": ("\ud800",)}, "args_sizes_get", "is not text"), ({"env": {"A": "\0"}}, "environ_sizes_get", "NUL"),
    ({"env": {"": "x"}}, "environ_sizes_get", "cannot name"),
    ({"env": {"A=B": "x"}}, "environ_sizes_get", "cannot name"),
])  # fmt: skip
def test_strings_that_no_program_could_be_told_end_the_call(make_guest, invocation, function, message):
    with pytest.raises(InvalidInputError, match=message):
        getattr(make_guest(**invocation), function)(RESULT, RESULT + 4)


@pytest.mark.parametrize(
    ("pointers", "start"), [(MEMORY_BYTES - 2, STRINGS), (POINTERS, MEMORY_BYTES - 2), (POINTERS, -1)]
)
def test_arguments_written_outside_of_memory_fault(make_guest, pointers, start):
    assert make_guest(arguments=("abc",)).args_get(pointers, start) == Errno.EFAULT


def test_clocks_are_the_machines(guest):
    for clock, read in ((0, time.time_ns), (1, time.monotonic_ns)):
        before = read()
        guest.need(guest.clock_time_get(clock, 0, RESULT))
        assert before <= guest.memory.read_u64(RESULT) <= read()
        guest.need(guest.clock_res_get(clock, RESULT))
        assert guest.memory.read_u64(RESULT) == 1
    assert guest.clock_time_get(2, 0, RESULT) == guest.clock_res_get(3, RESULT) == Errno.EBADF
    assert guest.clock_res_get(99, RESULT) == Errno.EINVAL
    assert guest.clock_time_get(0, 0, -4) == Errno.EFAULT


def test_random_bytes_fill_exactly_what_was_asked_for(guest):
    guest.need(guest.random_get(4096, 100_000))
    content = guest.memory.read(4096 - 8, 100_016)
    assert content[:8] == content[-8:] == bytes(8)
    assert len(set(content[8:-8])) == 256
    assert guest.random_get(MEMORY_BYTES - 4, 8) == Errno.EFAULT
    assert guest.random_get(0, -1) == Errno.EFAULT
    assert guest.memory.read(MEMORY_BYTES - 4, 4) == bytes(4)


def test_a_huge_wish_for_random_bytes_ends_with_the_calls_time(make_guest):
    with pytest.raises(LimitExceededError, match="timeout_seconds"):
        make_guest(limits={"timeout_seconds": 1e-9}).random_get(0, 1 << 18)


def test_a_huge_wish_for_random_bytes_ends_when_the_call_is_cancelled(guest):
    guest.context.cancel()
    with pytest.raises(CancelledError):
        guest.random_get(0, 1 << 18)


def test_a_deterministic_function_sees_the_same_time_and_random_bytes_in_every_call(make_guest):
    def observe(**invocation):
        guest = make_guest(deterministic=True, **invocation)
        seen = []
        for clock in (0, 1, 0):
            guest.need(guest.clock_time_get(clock, 0, RESULT))
            seen.append(guest.memory.read_u64(RESULT))
        for length in (1, 7, 200):
            guest.need(guest.random_get(POINTERS, length))
            seen.append(guest.memory.read(POINTERS, length))
        guest.open("f", "w")
        return [*seen, guest.stat("f")["mtim"]]

    first = observe(blob_id="aa" * 32)
    assert observe(blob_id="aa" * 32, arguments=("other",)) == first
    assert observe(blob_id="bb" * 32)[3:6] != first[3:6]
    assert first[:3] == [10**18 + 1000, 10**18 + 2000, 10**18 + 3000]


def test_random_bytes_of_a_deterministic_function_do_not_depend_on_how_they_are_asked_for(make_guest):
    def take(*lengths):
        guest, content = make_guest(deterministic=True), b""
        for length in lengths:
            guest.need(guest.random_get(POINTERS, length))
            content += guest.memory.read(POINTERS, length)
        return content

    assert take(300) == take(1, 63, 64, 65, 107)


@pytest.mark.parametrize(("given", "passed_on"), [(0, 0), (3, 3), (255, 255), (-1, 255), (256, 0)])
def test_the_exit_code_is_the_low_eight_bits(guest, given, passed_on):
    with pytest.raises(GuestExit) as caught:
        guest.proc_exit(given)
    assert caught.value.exit_code == passed_on
    assert not isinstance(caught.value, Exception)


def test_there_are_no_sockets_and_no_signals(guest):
    assert guest.sock_accept(0, 0, RESULT) == Errno.ENOTSOCK
    assert guest.sock_recv(0, 0, 0, 0, RESULT, RESULT) == Errno.ENOTSOCK
    assert guest.sock_send(1, 0, 0, 0, RESULT) == Errno.ENOTSOCK
    assert guest.sock_shutdown(55, 0) == Errno.EBADF
    assert guest.proc_raise(9) == Errno.ENOTSUP
    assert guest.sched_yield() == Errno.SUCCESS


def test_both_versions_declare_the_same_functions_with_the_same_types():
    unstable = {name: each.signature for name, each in UNSTABLE.functions.items()}
    preview1 = {name: each.signature for name, each in PREVIEW1.functions.items()}
    assert preview1.pop("sock_accept").params == ("i32",) * 3
    assert preview1 == unstable
    assert len(unstable) == 45


def test_only_what_can_wait_is_declared_to_wait():
    for module in (PREVIEW1, UNSTABLE):
        waits = {name: each.waits for name, each in module.functions.items() if each.waits}
        live = {"fd_close", "fd_pread", "fd_read", "fd_renumber", "fd_write",
                "path_filestat_get", "path_open", "path_unlink_file"}  # fmt: skip
        assert waits == {**dict.fromkeys(live, "live"), "poll_oneoff": True}
        assert not module.negative_errors
