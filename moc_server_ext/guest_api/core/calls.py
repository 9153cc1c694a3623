"""Calling other functions, for functions with a grant ``call:GLOB``."""

from __future__ import annotations

import struct
from typing import Final

from ...buffers.exchange import ExchangeBuffer
from ...errors import (
    CancelledError,
    ExchangeBufferError,
    InvalidInputError,
    LimitExceededError,
    MocError,
    NotFoundError,
    OverloadedError,
)
from ...model import CallRequest, CallResult, Mode, parse_mode
from ..context import CallContext
from ..errno import Errno, GuestErrno
from ..registry import NestedCall
from .module import CORE
from .support import check_grant, check_room, read_text, services_of

_BLOB_SCHEME: Final = "techID://"
_MAX_ARGUMENTS: Final = 1024
_MAX_ARGUMENT_BYTES: Final = 1 << 20
_LIMIT_ERRNOS: Final = {
    "timeout_seconds": Errno.ETIMEDOUT,
    "memory_bytes": Errno.ENOMEM,
    "call_depth": Errno.ELOOP,
}


@CORE.function("call_function", waits=True)
def call_function(
    call: CallContext,
    name_ptr: int,
    name_length: int,
    start_ptr: int,
    start_length: int,
    numbers_ptr: int,
    numbers_count: int,
    mode_ptr: int,
    mode_length: int,
    input_id: int,
    output_id: int,
    file_name_ptr: int,
    file_name_length: int,
    arguments_ptr: int,
    arguments_count: int,
) -> NestedCall:
    """Call a function by name, in an instance of its own, and wait for its end.

    Parameters
    ----------
    name, start, mode
        Function (a blob id too, also behind ``techID://``), entry point and ``posix`` or ``direct``; the latter two may
        be empty, which chooses as every other door does.
    numbers
        Arguments of a direct call: `numbers_count` numbers of 4 bytes.
    input_id, output_id
        Buffers of this call. What is unread of the first is the callee's input; its output and headers are added to the
        second once it has ended. 0 stands for none.
    file_name
        What a posix callee finds as its own name, ``argv[0]``; empty is the function's.
    arguments
        Arguments of a posix call: `arguments_count` pairs of pointer and length.

    Returns
    -------
    int
        The callee's number (direct) or exit code (posix), or why there is none: -EACCES without a grant, -ENOENT for an
        unknown function or entry point, -EINVAL for wrong arguments, -E2BIG for too long ones, -EBADF for an unknown
        buffer, -EPERM for an output buffer that is closed, -ENOSPC when the output has no room, -ETIMEDOUT, -ENOMEM and
        -ELOOP (call depth) for limits, -EAGAIN when the server is busy, -ECANCELED when the call was cancelled,
        -EOVERFLOW for a result that is not one integer, -EIO when the callee failed otherwise, -ENOSYS outside of a
        cluster, -EFAULT as everywhere. The reason is on stderr. A direct callee's own negative numbers look the same.
    """
    services = services_of(call)
    name = read_text(call, name_ptr, name_length).removeprefix(_BLOB_SCHEME)
    check_grant(call, "call", name)
    entry = read_text(call, start_ptr, start_length)
    mode = _mode(read_text(call, mode_ptr, mode_length))
    numbers = _numbers(call, numbers_ptr, numbers_count)
    arguments = _strings(call, arguments_ptr, arguments_count)
    program = read_text(call, file_name_ptr, file_name_length)
    source = call.buffer(input_id) if input_id else None
    sink = call.buffer(output_id) if output_id else None
    headers = {} if source is None else source.headers
    request = CallRequest(
        function=name, arguments=arguments, mode=mode, entry=entry or None, input_headers=headers, program=program
    )
    child: CallContext | None = None

    def prepare() -> CallContext:
        nonlocal child
        try:
            child = services.nested(call, request, numbers)
        except MocError as error:
            raise GuestErrno(refusal(call, error)) from None
        if source is not None:
            child.input = source
        return child

    def finish(outcome: CallResult | MocError) -> int:
        if child is not None:
            call.take_stderr(child)
        if isinstance(outcome, MocError):
            raise GuestErrno(refusal(call, outcome))
        if sink is not None:
            _pour(call, outcome, child, sink)
        return _number(outcome)

    return NestedCall(prepare, finish)


def _mode(text: str) -> Mode | None:
    try:
        return parse_mode(text)
    except InvalidInputError:
        raise GuestErrno(Errno.EINVAL) from None


def _numbers(call: CallContext, pointer: int, count: int) -> tuple[int, ...]:
    if not 0 <= count <= _MAX_ARGUMENTS:
        raise GuestErrno(Errno.E2BIG)
    return struct.unpack(f"<{count}i", call.memory.read(pointer, 4 * count)) if count else ()


def _strings(call: CallContext, pointer: int, count: int) -> tuple[str, ...]:
    if not 0 <= count <= _MAX_ARGUMENTS:
        raise GuestErrno(Errno.E2BIG)
    if not count:
        return ()
    pairs = list(struct.iter_unpack("<II", call.memory.read(pointer, 8 * count)))
    if sum(length for _, length in pairs) > _MAX_ARGUMENT_BYTES:
        raise GuestErrno(Errno.E2BIG)
    return tuple(read_text(call, at, length, _MAX_ARGUMENT_BYTES) for at, length in pairs)


def _pour(call: CallContext, result: CallResult, child: CallContext | None, sink: ExchangeBuffer) -> None:
    try:
        if sink is call.output:
            sink.write(result.output)
        else:
            check_room(call, len(result.output))
            call.append(sink, result.output)
    except ExchangeBufferError:
        raise GuestErrno(Errno.EPERM) from None
    if result.output_headers:
        sink.headers.update(result.output_headers)
    if child is not None and child.output.status_code is not None:
        sink.status_code = child.output.status_code


def _number(result: CallResult) -> int:
    if result.exit_code is not None:
        return result.exit_code
    if result.result is None:
        return 0
    if isinstance(result.result, int):
        return result.result
    # Floats and several numbers have no room in the one i32 that the guest gets.
    raise GuestErrno(Errno.EOVERFLOW)


def refusal(call: CallContext, error: MocError) -> Errno:
    """Give the number with which a guest hears that its call of a function failed; the reason is on its stderr."""
    call.complain(error.message)
    if isinstance(error, NotFoundError):
        return Errno.ENOENT
    if isinstance(error, InvalidInputError):
        return Errno.EINVAL
    if isinstance(error, OverloadedError):
        return Errno.EAGAIN
    if isinstance(error, CancelledError):
        return Errno.ECANCELED
    if isinstance(error, LimitExceededError):
        return _LIMIT_ERRNOS.get(str(error.details.get("limit")), Errno.EIO)
    return Errno.EIO
