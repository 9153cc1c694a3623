"""The call context: the state of one execution, and all that its host functions can reach.

Host functions get it as their first argument. Handles of exchange buffers are numbers issued here, so that those of
other calls are unknown by construction.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from ..abc import Bytes, CallServices, GuestMemory, Place
from ..buffers.exchange import ExchangeBuffer
from ..egress.network import Network
from ..errors import CancelledError, GuestError, LimitExceededError, MocError
from ..model import Invocation, Limits, Mode
from .errno import Errno, GuestErrno

INPUT_BUFFER_ID = 1
OUTPUT_BUFFER_ID = 2


class CallContext:
    """One execution of one invocation.

    Parameters
    ----------
    input, output
        Input buffer 0 (stdin) and the output buffer (stdout); an output buffer with the limits of the invocation is
        made when none is given.
    more_inputs
        Input buffers 1 and on, closed for writing.
    services
        What lies outside of the call; None where there is nothing (a bare engine in a test).
    parent
        The context whose guest made this call.
    live
        Whether input or output may make the guest wait. A call made by a live one is live as well, and so is one whose
        function may open URLs, or (in posix mode) what is stored and other functions.
    listener
        Told each part of stderr as it comes.
    call_id
        Unguessable; one is made when none is given.
    network
        How requests leave; that of `services` when not given.

    Attributes
    ----------
    memory
        The guest's memory; set by the engine once there is an instance.
    wasi
        The state of the WASI host (arguments, descriptors, files); set by the engine in posix mode, else None.
    stderr
        What the guest wrote to stderr or logged.
    place
        What the call holds of the server; None for one that was not admitted by itself.
    """

    __slots__ = ("_buffered_bytes", "_buffers", "_call_id", "_cancelled", "_deadline", "_listener", "_network",
                 "_next_id", "_on_cancel", "depth", "input", "invocation", "live", "memory", "more_inputs", "output",
                 "parent", "place", "services", "stderr", "wasi")  # fmt: skip

    memory: GuestMemory
    wasi: Any
    depth: int
    live: bool

    def __init__(
        self,
        invocation: Invocation,
        input: ExchangeBuffer,
        output: ExchangeBuffer | None = None,
        *,
        services: CallServices | None = None,
        parent: CallContext | None = None,
        live: bool = False,
        listener: Callable[[bytes], None] | None = None,
        call_id: str = "",
        network: Network | None = None,
        more_inputs: Sequence[ExchangeBuffer] = (),
    ) -> None:
        self.invocation = invocation
        self.input = input
        self.more_inputs = more_inputs
        self.output = self.new_buffer("output_bytes") if output is None else output
        self.services = services
        self.parent = parent
        self.live = live or _opens_what_waits(invocation) or (parent is not None and parent.live)
        self.depth = 1 if parent is None else parent.depth + 1
        self.stderr = bytearray()
        self.place: Place | None = None
        self.wasi = None
        self._deadline = time.monotonic() + invocation.limits.timeout_seconds
        self._cancelled = False
        self._on_cancel: Callable[[], object] | None = None
        self._listener = listener
        self._network = network
        self._call_id = call_id
        self._buffers: dict[int, ExchangeBuffer] | None = None
        self._buffered_bytes = 0
        self._next_id = OUTPUT_BUFFER_ID + 1 + len(more_inputs)

    @property
    def call_id(self) -> str:
        """An unguessable id, made when first asked for."""
        if not self._call_id:
            self._call_id = _unguessable_id()
        return self._call_id

    @property
    def deadline(self) -> float:
        """``time.monotonic()`` at which the call's time is over; a child's is at most its parent's, at any moment."""
        if self.parent is None:
            return self._deadline
        return min(self._deadline, self.parent.deadline)

    @deadline.setter
    def deadline(self, value: float) -> None:
        # A cancelled call gets no more time.
        if not self._cancelled:
            self._deadline = value

    def extend(self, seconds: float) -> None:
        """Move the deadline: time that the platform took for itself, such as for compiling, is not the guest's."""
        self._deadline += seconds

    @property
    def cancelled(self) -> bool:
        """Whether this call, or one that it is part of, was cancelled; the engine then ends it with CancelledError."""
        return self._cancelled or (self.parent is not None and self.parent.cancelled)

    def cancel(self) -> None:
        """Ask for the end of this call and of what it called; may come from any thread, and returns at once."""
        self._cancelled = True
        # Whoever looks at the deadline alone ends the call as well.
        self._deadline = 0.0
        act = self._on_cancel
        if act is not None:
            act()

    def when_cancelled(self, act: Callable[[], object] | None) -> None:
        """Call `act` when the call is cancelled, on whatever thread, at once if it was; None takes that back.

        For the one who drives the call.
        """
        self._on_cancel = act
        if self._cancelled and act is not None:
            act()

    def overdue(self) -> GuestError:
        """Make the error that ends a call whose deadline has passed, by itself or because somebody cancelled it."""
        return CancelledError(self.invocation.function) if self.cancelled else self.limit_exceeded("timeout_seconds")

    def limit_exceeded(self, limit: str, found: float | None = None) -> LimitExceededError:
        """Make the error that says which limit this call reached."""
        return _limit_exceeded(self.invocation, limit, found)

    def new_buffer(self, limit: str) -> ExchangeBuffer:
        """Make a buffer, open for writing, that is bounded by the limit of this name."""
        return ExchangeBuffer(
            limit_bytes=getattr(self.invocation.limits, limit), exceeded=beyond_limit(self.invocation, limit)
        )

    def write_stderr(self, text: bytes) -> None:
        """Append to stderr; beyond its limit the call ends."""
        self.check_stderr(len(text))
        self.stderr += text
        if self._listener is not None:
            self._listener(text)

    def check_stderr(self, size: int) -> None:
        """Check that stderr can take `size` bytes more; if not, the call ends."""
        if len(self.stderr) + size > self.invocation.limits.stderr_bytes:
            raise self.limit_exceeded("stderr_bytes", len(self.stderr) + size)

    def complain(self, message: str) -> None:
        """Write one line to stderr, as far as there is room: why a host function refuses."""
        line = f"{message}\n".encode(errors="replace")
        room = self.invocation.limits.stderr_bytes - len(self.stderr)
        self.write_stderr(line[: max(0, room)])

    def take_stderr(self, child: CallContext) -> None:
        """Append what a call that this one made wrote to stderr, as far as there is room."""
        room = self.invocation.limits.stderr_bytes - len(self.stderr)
        if child.stderr and room > 0:
            self.write_stderr(bytes(child.stderr[:room]))

    @property
    def network(self) -> Network | None:
        """How requests leave; None where there is nothing outside of the call."""
        if self._network is None and self.services is not None:
            self._network = self.services.network
        return self._network

    def ceiling(self) -> Limits:
        """Give the limits of a call that this one makes: what the tree holds so far is no more to be had."""
        limits = self.invocation.limits
        files = 0 if self.wasi is None else self.wasi.file_bytes
        return replace(
            limits,
            output_bytes=max(0, limits.output_bytes - self.output.size),
            scratch_bytes=max(0, limits.scratch_bytes - max(files, self.buffered_bytes)),
        )

    # -- inputs -------------------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[ExchangeBuffer]:
        """All input buffers; the first is `input`."""
        return [self.input, *self.more_inputs]

    @property
    def input_count(self) -> int:
        """How many input buffers there are, at least 1."""
        return 1 + len(self.more_inputs)

    @property
    def input_bytes(self) -> int:
        """Bytes of all inputs, as far as they have come."""
        return self.input.size + sum(each.size for each in self.more_inputs)

    def input_at(self, index: int) -> ExchangeBuffer | None:
        """Give one input buffer; None beyond the last."""
        if index == 0:
            return self.input
        return self.more_inputs[index - 1] if 0 < index <= len(self.more_inputs) else None

    def input_handle(self, index: int) -> int:
        """Give the handle of an input buffer; GuestErrno(EINVAL) beyond the last."""
        if not 0 <= index < self.input_count:
            raise GuestErrno(Errno.EINVAL)
        return OUTPUT_BUFFER_ID + index if index else INPUT_BUFFER_ID

    # -- handles of exchange buffers ----------------------------------------------------------------------------------

    @property
    def _first_own_id(self) -> int:
        return OUTPUT_BUFFER_ID + self.input_count

    @property
    def buffers(self) -> dict[int, ExchangeBuffer]:
        """The buffers that this call's guest knows, by handle."""
        if self._buffers is None:
            self._buffers = {INPUT_BUFFER_ID: self.input, OUTPUT_BUFFER_ID: self.output}
            self._buffers.update(enumerate(self.more_inputs, OUTPUT_BUFFER_ID + 1))
        return self._buffers

    @property
    def buffered_bytes(self) -> int:
        """Bytes in the buffers that this call's guest made, which share the limit scratch_bytes."""
        return self._buffered_bytes

    def append(self, buffer: ExchangeBuffer, part: Bytes) -> None:
        """Write `part` into a buffer that this call's guest made, where it counts; raises what ``write`` does."""
        buffer.write(part)
        # A sum over all buffers at each write would let a guest with many of them hold everybody up.
        self._buffered_bytes += len(part)

    def is_own(self, handle: int) -> bool:
        """Tell whether a handle is of the kind that stands for what the guest made, not for an input or the output."""
        return handle >= self._first_own_id

    def is_input(self, handle: int) -> bool:
        """Tell whether a handle stands for an input."""
        return handle != OUTPUT_BUFFER_ID and 0 < handle < self._first_own_id

    def buffer(self, handle: int) -> ExchangeBuffer:
        """Look a handle up; GuestErrno(EBADF) when this call issued no such handle."""
        try:
            return self.buffers[handle]
        except KeyError:
            raise GuestErrno(Errno.EBADF) from None

    def add_buffer(self, buffer: ExchangeBuffer) -> int:
        """Issue a handle; GuestErrno(EMFILE) beyond the call's limit of buffers."""
        if len(self.buffers) > self.invocation.limits.buffers + self.input_count:
            raise GuestErrno(Errno.EMFILE)
        handle = self._next_id
        self._next_id += 1
        self.buffers[handle] = buffer
        self._buffered_bytes += buffer.size
        return handle

    def free_buffer(self, handle: int) -> None:
        """Forget a buffer of this call; GuestErrno(EBADF) for unknown handles, EPERM for the inputs and the output."""
        if 0 < handle < self._first_own_id:
            raise GuestErrno(Errno.EPERM)
        buffer = self.buffers.pop(handle, None)
        if buffer is None:
            raise GuestErrno(Errno.EBADF)
        self._buffered_bytes -= buffer.size

    def forget_buffers(self) -> None:
        """Let go of the buffers that the guest made: no guest of this call is left that could ask for them."""
        self._buffers = None
        self._buffered_bytes = 0


def _opens_what_waits(invocation: Invocation) -> bool:
    grants = invocation.grants
    return bool(grants.allowed_hosts) or (invocation.mode is Mode.POSIX and grants.opens_files)


def beyond_limit(invocation: Invocation, limit: str) -> Callable[[int], MocError]:
    """Make what makes the error of a buffer that is bounded by the limit of this name."""
    # Without a context in it: the context holds the buffer, and a ring of the two would keep input, output and files of
    # every call in memory until the collector comes round.
    return lambda found: _limit_exceeded(invocation, limit, found)


def _limit_exceeded(invocation: Invocation, limit: str, found: float | None) -> LimitExceededError:
    return LimitExceededError(invocation.function, limit, getattr(invocation.limits, limit), found=found)


# Made many at a time: to ask the system for each costs as much as a tenth of a short call.
_ids: deque[str] = deque()
_IDS_AT_A_TIME: Final = 256


def _unguessable_id() -> str:
    try:
        return _ids.pop()
    except IndexError:
        digits = os.urandom(8 * _IDS_AT_A_TIME).hex()
        _ids.extend(digits[at : at + 16] for at in range(16, len(digits), 16))
        return digits[:16]
