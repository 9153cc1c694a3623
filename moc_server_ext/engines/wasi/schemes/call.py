# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""``call://FUNCTION``: another function as a file, for functions with a grant ``call:GLOB``.

What is written is its input, the first read runs it, and reads give its output. It is called without arguments, in the
mode that it declares or that its exports say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ....errors import MocError
from ....guest_api.context import CallContext
from ....guest_api.core.calls import refusal
from ....guest_api.errno import Errno, GuestErrno
from ....guest_api.registry import NestedCall, Waiting
from ....model import CallRequest, CallResult
from .. import layout
from ..descriptors import STREAM_DEVICE, Descriptor, Stat
from ..nodes import Quota
from ..vectors import Vectors, scatter
from .access import require, text_of
from .base import Asked, Scheme

if TYPE_CHECKING:
    from ....abc import CallServices

_KIND: Final = "call"
_INODE: Final = 4


class CallScheme(Scheme):
    """Opens functions."""

    __slots__ = ()

    def open(self, call: CallContext, name: bytes, asked: Asked) -> Descriptor:
        """Prepare a call, which the first read makes; whether there is such a function is seen then."""
        services = require(call, _KIND, name)
        if asked.exclusive:
            raise GuestErrno(Errno.EEXIST)
        if not asked.reading:
            call.complain(
                f"call://{text_of(name)} was opened for writing only: open it for reading as well, the first read "
                "calls the function."
            )
            raise GuestErrno(Errno.EACCES)
        return CallFile(text_of(name), services, call.wasi.tree.quota, writable=asked.writing)

    def stat(self, call: CallContext, name: bytes) -> Stat:
        """Describe a call; tells nothing of whether there is such a function."""
        require(call, _KIND, name)
        return Stat(STREAM_DEVICE, _INODE, layout.UNKNOWN_TYPE, 1, 0, 0, 0, 0)


class CallFile(Descriptor):
    """One call of a function, from the first byte of its input to the last one of its output.

    Parameters
    ----------
    quota
        What input and output take.
    """

    __slots__ = ("_content", "_failure", "_function", "_has_begun", "_position", "_quota", "_services", "rights")

    inode = _INODE

    def __init__(self, function: str, services: CallServices, quota: Quota, *, writable: bool) -> None:
        self._function = function
        self._services = services
        self._quota = quota
        # The input until the call begins, the output once it has ended; the quota holds its length.
        self._content: bytes | bytearray = bytearray()
        self._position = 0
        self._has_begun = False
        self._failure: Errno | None = None
        self.rights = layout.READING | (layout.WRITING if writable else 0)

    def write(self, call: CallContext, part: bytes) -> int:
        """Add to the input; EPERM once the function was called, ENOSPC beyond what private files may take."""
        if not self.rights & layout.RIGHT_WRITE:
            raise GuestErrno(Errno.EBADF)
        if self._has_begun:
            raise GuestErrno(Errno.EPERM)
        self._quota.charge(len(part))
        self._content += part
        return len(part)

    def before_read(self, call: CallContext) -> Waiting | None:
        if self._has_begun:
            return None
        self._has_begun = True
        request = CallRequest(self._function, input=self._content)
        child: CallContext | None = None

        def prepare() -> CallContext:
            nonlocal child
            try:
                child = self._services.nested(call, request, ())
            except MocError as error:
                raise self._failed(refusal(call, error)) from None
            return child

        def finish(outcome: CallResult | MocError) -> int:
            self._replace(b"")
            if child is not None:
                room = call.invocation.limits.stderr_bytes - len(call.stderr)
                call.write_stderr(bytes(child.stderr[: max(0, room)]))
            if isinstance(outcome, MocError):
                raise self._failed(refusal(call, outcome))
            if outcome.exit_code:
                call.complain(f"Function {self._function!r} ended with exit code {outcome.exit_code}.")
                raise self._failed(Errno.EIO)
            try:
                self._replace(outcome.output)
            except GuestErrno as full:
                raise self._failed(full.number) from None
            return 0

        return NestedCall(prepare, finish)

    def read(self, call: CallContext, vectors: Vectors) -> int:
        if self._failure is not None:
            raise GuestErrno(self._failure)
        count = scatter(call.memory, vectors, self._content, self._position)
        self._position += count
        return count

    def readable_bytes(self, call: CallContext) -> int:
        return len(self._content) - self._position if self._has_begun else 0

    def close(self) -> None:
        """Drop input and output; a function that was never read from was never called."""
        self._replace(b"")

    def _replace(self, content: bytes) -> None:
        self._quota.release(len(self._content))
        self._content = b""
        self._quota.charge(len(content))
        self._content = content

    def _failed(self, number: Errno) -> GuestErrno:
        """Note what each further read gives, and make the error for this one."""
        self._failure = number
        return GuestErrno(number)
