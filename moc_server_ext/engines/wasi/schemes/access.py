"""What the schemes that reach beyond the call share: who may open, and how the storage is waited for.

A grant is asked for before anything is looked up, so that a refusal tells nobody what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ....abc import CallServices
from ....guest_api.context import CallContext
from ....guest_api.core.support import Failure, check_grant, services_of, work
from ....guest_api.errno import Errno, GuestErrno
from ....model import Mode
from .. import layout
from ..waiting import Later

Got = TypeVar("Got")
Given = TypeVar("Given")


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


def allowed(possible: int, asked: int) -> int:
    """Give the rights of what is opened: all that are possible, but reading and writing only if they were asked for."""
    return possible & (asked | ~(layout.RIGHT_READ | layout.RIGHT_WRITE))


def refuse_synchronous(flags: int) -> None:
    """Refuse, as all files do, flags by which each write would be durable."""
    if flags & (layout.FLAG_DSYNC | layout.FLAG_RSYNC | layout.FLAG_SYNC):
        raise GuestErrno(Errno.EINVAL)


def raised(outcome: Failure | None) -> int:
    """Let a failure be the end of the call."""
    if outcome is not None:
        raise outcome.error
    return 0


class _Cell(Generic[Got]):
    """What was got, until it is given."""

    __slots__ = ("value",)

    value: Got

    def put(self, value: Got) -> int:
        self.value = value
        return 0


def later(call: CallContext, act: Callable[[], Got], give: Callable[[Got], Given]) -> Later[Given]:
    """Give what `give` makes of what `act` finds.

    Parameters
    ----------
    act
        Blocks, on another thread; touches neither the guest nor its call. Its errors are refusals.
    """
    cell: _Cell[Got] = _Cell()
    return Later(work(call, act, cell.put), lambda: give(cell.value))
