"""What the functions of ``core`` share: decoding, room for new buffers, grants, work whose failures are refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ...abc import Bytes, CallServices
from ...buffers.exchange import ExchangeBuffer
from ...errors import (
    AccessDeniedError,
    ConflictError,
    InvalidInputError,
    InvalidModuleError,
    MissingImportError,
    MocError,
    NotFoundError,
    NotGrantedError,
    OverloadedError,
    ReadOnlyStorageError,
    StorageError,
    StorageFullError,
)
from ..context import CallContext
from ..errno import Errno, GuestErrno
from ..registry import Work

_SHOWN_CHARS: Final = 100
_TEXT_BYTES: Final = 128 << 10
# The first class that an error is of says what the guest hears.
_REFUSALS: Final[tuple[tuple[type[MocError], Errno], ...]] = (
    (NotFoundError, Errno.ENOENT),
    (InvalidModuleError, Errno.ENOEXEC),
    (MissingImportError, Errno.ENOEXEC),
    (InvalidInputError, Errno.EINVAL),
    (AccessDeniedError, Errno.EACCES),
    (ConflictError, Errno.ENOTSUP),
    (OverloadedError, Errno.EAGAIN),
    (StorageFullError, Errno.ENOSPC),
    (ReadOnlyStorageError, Errno.EROFS),
    (StorageError, Errno.EIO),
)
_Given = TypeVar("_Given")


def read_text(call: CallContext, pointer: int, length: int, limit: int = _TEXT_BYTES) -> str:
    """Read UTF-8; EINVAL when it is none, E2BIG beyond `limit` bytes, of which one can take the host four."""
    if length & 0xFFFF_FFFF > limit:
        raise GuestErrno(Errno.E2BIG)
    try:
        return call.memory.read(pointer, length).decode()
    except UnicodeDecodeError:
        raise GuestErrno(Errno.EINVAL) from None


def give(call: CallContext, *parts: Bytes) -> int:
    """Put `parts` into a new exchange buffer and give its id; ENOSPC when the call's buffers have no room for them."""
    check_room(call, sum(map(len, parts)))
    buffer = ExchangeBuffer()
    for part in parts:
        buffer.write(part)
    buffer.close()
    return call.add_buffer(buffer)


def room(call: CallContext) -> int:
    """Tell how many bytes more the buffers that this call made can hold, under the limit scratch_bytes."""
    return call.invocation.limits.scratch_bytes - call.buffered_bytes


def check_room(call: CallContext, size: int) -> None:
    """Check that the buffers that this call made can hold `size` bytes more; ENOSPC when not."""
    if size > room(call):
        raise GuestErrno(Errno.ENOSPC)


def check_grant(call: CallContext, kind: str, target: str = "") -> None:
    """Refuse with EACCES what the function was not granted, and say on its stderr which grant is missing."""
    missing = missing_grant(call, kind, target)
    if missing is not None:
        call.complain(missing.message)
        raise GuestErrno(Errno.EACCES)


def missing_grant(call: CallContext, kind: str, target: str) -> NotGrantedError | None:
    """Give the error for what the function was not granted, from any thread; None if it was."""
    if call.invocation.grants.allows(kind, target):
        return None
    shown = "".join(each if each.isprintable() else "\ufffd" for each in target[:_SHOWN_CHARS])
    return NotGrantedError(call.invocation.function, f"{kind}:{shown}" if shown else kind)


def services_of(call: CallContext) -> CallServices:
    """Give what lies outside of the call; ENOSYS where there is nothing."""
    if call.services is None:
        raise GuestErrno(Errno.ENOSYS)
    return call.services


def changing_services_of(call: CallContext) -> CallServices:
    """Do as :func:`services_of`; ENOSYS also for a function that declares itself deterministic.

    What names point to and what the platform is doing is not the same at every call, as equal inputs are.
    """
    if call.invocation.deterministic:
        raise GuestErrno(Errno.ENOSYS)
    return services_of(call)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a value, because the guest goes on: only where it is driven can it be told."""

    error: MocError


def attempt(run: Callable[[], _Given]) -> Callable[[], _Given | Failure]:
    """Make blocking work give its error instead of raising it."""

    def attempted() -> _Given | Failure:
        try:
            return run()
        except MocError as error:
            return Failure(error)

    return attempted


def refusal(call: CallContext, error: MocError) -> Exception:
    """Make what a host function raises when its work failed: the guest's error number, with the reason on stderr.

    What is not found is no line there: a guest may ask whether something is there. Of a failure of the storage only the
    kind is told: where it lies is not the guest's to know. What is no refusal ends the call.
    """
    for kind, number in _REFUSALS:
        if isinstance(error, kind):
            if isinstance(error, StorageError):
                call.complain(f"The storage did not do what was asked: {error.code}.")
            elif number is not Errno.ENOENT:
                call.complain(error.message)
            return GuestErrno(number)
    return error


def work(call: CallContext, run: Callable[[], _Given], finish: Callable[[_Given], int]) -> Work:
    """Make blocking work whose failures are refusals; see :func:`refusal`."""

    def end(outcome: Any) -> int:
        if isinstance(outcome, Failure):
            raise refusal(call, outcome.error)
        return finish(outcome)

    return Work(attempt(run), end)
