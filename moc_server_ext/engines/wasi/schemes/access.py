"""What the schemes that reach beyond the call share: who may open, and how the storage's answers reach the guest.

A grant is asked for before anything is looked up, so that a refusal tells nobody what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from ....abc import CallServices
from ....errors import (
    ConflictError,
    InvalidInputError,
    MocError,
    NotFoundError,
    OverloadedError,
    ReadOnlyStorageError,
    StorageFullError,
)
from ....guest_api.context import CallContext
from ....guest_api.core.support import check_grant, services_of
from ....guest_api.errno import Errno, GuestErrno
from ....guest_api.registry import Work
from ....model import Mode
from ..waiting import Later

Got = TypeVar("Got")
Given = TypeVar("Given")

# The first class that an error is of says what the guest hears.
_NUMBERS: Final[tuple[tuple[type[MocError], Errno], ...]] = (
    (NotFoundError, Errno.ENOENT),
    (InvalidInputError, Errno.EINVAL),
    (ConflictError, Errno.ENOTSUP),
    (StorageFullError, Errno.ENOSPC),
    (ReadOnlyStorageError, Errno.EROFS),
    (OverloadedError, Errno.EAGAIN),
)


def text_of(name: bytes) -> str:
    """Read a name; bytes that are no text keep their place, and whoever needs text refuses them."""
    return name.decode(errors="surrogateescape")


def require(call: CallContext, kind: str, target: bytes) -> CallServices:
    """Give what lies outside of the call, if its function was granted `kind` for `target`.

    Raises
    ------
    GuestErrno
        EACCES without the grant, which stderr names; ENOTSUP in direct mode, where calls cannot wait for a file, with
        the reason on stderr; ENOSYS where there is nothing outside of the call.
    """
    check_grant(call, kind, text_of(target))
    if call.invocation.mode is not Mode.POSIX:
        call.complain(f"{kind}:// can be opened in posix mode only: call {call.invocation.function!r} as a program.")
        raise GuestErrno(Errno.ENOTSUP)
    return services_of(call)


def require_storage(call: CallContext, kind: str, target: bytes) -> CallServices:
    """Do as :func:`require`; what is stored changes, so that a function declared deterministic gets ENOSYS."""
    services = require(call, kind, target)
    if call.invocation.deterministic:
        raise GuestErrno(Errno.ENOSYS)
    return services


def refusal(call: CallContext, error: MocError) -> GuestErrno:
    """Make the guest's error number of what the storage says, with the reason on stderr.

    What is not found is no line there: a program may ask whether something is there.
    """
    number = next((number for kind, number in _NUMBERS if isinstance(error, kind)), Errno.EIO)
    if number is not Errno.ENOENT:
        call.complain(error.message)
    return GuestErrno(number)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a value: only where the guest is driven can it be told."""

    error: MocError


def attempt(act: Callable[[], Got]) -> Callable[[], Got | Failure]:
    """Give the errors of moc that `act` raises as values."""

    def run() -> Got | Failure:
        try:
            return act()
        except MocError as error:
            return Failure(error)

    return run


def raised(outcome: Failure | None) -> int:
    """Let a failure be the end of the call."""
    if outcome is not None:
        raise outcome.error
    return 0


def work(call: CallContext, act: Callable[[], Got], then: Callable[[Got], object]) -> Work:
    """Make blocking work whose errors are refusals.

    Parameters
    ----------
    act
        Blocks, on another thread; touches neither the guest nor its call. May raise ``GuestErrno``.
    then
        Gets what it gave, where the guest is driven.
    """

    def finish(outcome: Any) -> int:
        if isinstance(outcome, Failure):
            raise refusal(call, outcome.error)
        then(outcome)
        return 0

    return Work(attempt(act), finish)


class _Cell(Generic[Got]):
    """What was got, until it is given."""

    __slots__ = ("value",)

    value: Got

    def put(self, value: Got) -> None:
        self.value = value


def later(call: CallContext, act: Callable[[], Got], give: Callable[[Got], Given]) -> Later[Given]:
    """Give what `give` makes of what `act` finds; see :func:`work`."""
    cell: _Cell[Got] = _Cell()
    return Later(work(call, act, cell.put), lambda: give(cell.value))
