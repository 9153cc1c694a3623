"""Array functions (``chunk/1``): an array is put into a guest's memory, and what the guest gives back is taken out.

The array goes into fresh pages at the end of the guest's memory, so that the guest needs no allocator::

    0      64 bytes that must stay as they are
    64     struct moc_array of the input
    256    struct moc_array of the result
    512    the elements
    end    64 bytes that must stay as they are

What must stay is looked at after the call. Allocators that take memory for their own because it is there, and not
because they asked for it, begin at the lower end and leave a mark at the upper one.

Large arrays are copied a piece at a time, so that no thread is held by a copy: whoever drives the guest goes on
between two pieces as it does between two slices of computing. Each byte is copied once on its way in and once on its
way out.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

from ...errors import (
    ArrayMemoryError,
    ArrayRequiredError,
    ArrayResultError,
    GuestError,
    GuestStatusError,
    InvalidInputError,
    MocError,
    TrapError,
)
from ...guest_api.context import CallContext
from ...guest_api.registry import Wait
from ...model import Number
from ...model.arrays import ArraySpec, array_headers, parse_array_headers
from .array_layout import ARRAY_BYTES, Result, read_result, write_array
from .coroutine import CoroutineGuest
from .failures import memory_note, stderr_tail
from .memory import FilledBytes, LinearMemory
from .prepared import Export, Prepared

_ARRAY_AT: Final = 64
_RESULT_AT: Final = 256
_ELEMENTS_AT: Final = 512
_GUARD: Final = b"This is the host's, and whoever writes here has lost its way. \r\n"
_PIECE_BYTES: Final = 1 << 20
_PAGE_BYTES: Final = 1 << 16

Failure = TypeVar("Failure", bound=MocError)


class Grown(Protocol):
    """A guest whose memory the host may grow: any :class:`.guest.Guest` between its calls."""

    memory_bytes: int
    prepared: Prepared

    def own_memory(self) -> LinearMemory:
        """Give its memory."""
        ...

    def grow(self, pages: int) -> bool:
        """Add pages to its memory; False when it can have no more."""
        ...


class Region:
    """Pages of one guest's memory that are the host's.

    Attributes
    ----------
    pointer, size
        Where they are; of no size before there are any.
    """

    __slots__ = ("pointer", "size")

    def __init__(self) -> None:
        self.pointer = self.size = 0


class ArrayCall:
    """One call of an array function: :meth:`place`, :meth:`fill` until it is done, the call, :meth:`take` likewise.

    Raises MocErrors, with the end of the guest's stderr where the guest is to blame.

    Parameters
    ----------
    context
        The call. What is unread of its input are the array's elements.
    """

    __slots__ = ("_array", "_content", "_context", "_end", "_entry", "_filled", "_function", "_memory", "_pointer",
                 "_result")  # fmt: skip

    def __init__(self, context: CallContext, entry: Export) -> None:
        self._context = context
        self._function = context.invocation.function
        self._entry = entry.shown_name
        array = parse_array_headers(context.input.headers)
        if array is None:
            raise ArrayRequiredError(self._function, self._entry)
        self._array: ArraySpec = array
        self._memory = LinearMemory()
        self._pointer = self._end = 0
        self._filled = 0
        self._result: Result | None = None
        self._content: FilledBytes | None = None

    def place(self, guest: Grown, region: Region) -> None:
        """Make room in the guest's memory and tell it of the array.

        Parameters
        ----------
        region
            Pages that are the host's already; it grows when it must.

        Raises
        ------
        LimitExceededError
            The guest may not have so much memory.
        InvalidInputError
            The array cannot be told to a guest.
        GuestError
            The module says that its memory may not grow so far.
        """
        array = self._array
        # Before anything is grown: it refuses what the interface has no words for.
        write_array(self._function, self._entry, array, 0)
        size = _ELEMENTS_AT + array.nbytes + len(_GUARD)
        memory = self._memory = guest.own_memory()
        memory.measure()
        if size > region.size:
            # What the host has at the end is made longer; elsewhere it is left behind.
            is_last = region.size and region.pointer + region.size == memory.length
            start = region.pointer if is_last else memory.length
            pages = -(-(start + size - memory.length) // _PAGE_BYTES)
            wanted = memory.length + pages * _PAGE_BYTES
            if wanted > guest.memory_bytes // guest.prepared.memories:
                raise self._blamed(self._context.limit_exceeded("memory_bytes", wanted))
            if not guest.grow(pages):
                raise self._blamed(
                    GuestError(
                        f"Function {self._function!r} cannot be given an array of {array.nbytes:,} bytes: its module "
                        f"declares that its memory of {memory.length:,} bytes may not grow by so much.",
                        function=self._function,
                    )
                )
            memory.measure()
            region.pointer, region.size = start, memory.length - start
            for pointer in (start, memory.length - len(_GUARD)):
                memory.write(pointer, _GUARD)
        self._pointer, self._end = region.pointer, region.pointer + region.size
        described = write_array(self._function, self._entry, array, self._pointer + _ELEMENTS_AT)
        memory.write(self._pointer + _ARRAY_AT, described)
        memory.write(self._pointer + _RESULT_AT, bytes(ARRAY_BYTES))

    def fill(self) -> bool:
        """Copy what there is of the input, at most one piece; tells whether all of it is there.

        A live input that is not ready gives nothing; see :attr:`waiting`.

        Raises
        ------
        InvalidInputError
            The input is not as long as its headers say.
        """
        source, expected = self._context.input, self._array.nbytes
        left = _PIECE_BYTES
        while left and source.ready:
            part = source.peek()
            if not part:
                if self._filled < expected:
                    raise self._wrong_length(f"{self._filled:,}")
                return True
            piece = part[:left]
            if self._filled + len(piece) > expected:
                raise self._wrong_length(f"more than {expected:,}")
            self._memory.fill(self._pointer + _ELEMENTS_AT + self._filled, piece)
            source.advance(len(piece))
            self._filled += len(piece)
            left -= len(piece)
        return False

    @property
    def waiting(self) -> Wait | None:
        """What :meth:`fill` needs before it can go on."""
        source = self._context.input
        return None if source.ready else Wait(source.readable, lambda _: 0)

    def arguments(self, numbers: tuple[Number, ...]) -> tuple[Number, ...]:
        """Put the pointers around the numbers."""
        return _signed(self._pointer + _ARRAY_AT), *numbers, _signed(self._pointer + _RESULT_AT)

    def check(self, status: object, exit_code: int | None) -> None:
        """Check how the function ended, and read what it left as its result.

        Parameters
        ----------
        status
            What it gave back.
        exit_code
            That of a guest that ended its program; it never came back.

        Raises
        ------
        ArrayMemoryError
            It wrote over the host's memory.
        GuestStatusError
            It gave no 0.
        ArrayResultError, LimitExceededError
            There is no array, or it is larger than an output may be.
        """
        context, output = self._context, self._context.output
        self.check_memory()
        if exit_code is not None or status != 0:
            given = exit_code if exit_code is not None else int(status)  # type: ignore[call-overload]
            note = memory_note(self._memory.length, context.invocation.limits.memory_bytes)
            raise self._blamed(
                GuestStatusError(self._function, self._entry, given, exited=exit_code is not None, note=note)
            )
        memory = self._memory
        try:
            result = read_result(
                self._function, self._entry, memory.read(self._pointer + _RESULT_AT, ARRAY_BYTES), memory.length
            )
        except ArrayResultError as error:
            raise self._blamed(error) from None
        if output.size:
            raise self._blamed(
                GuestError(
                    f"{self._entry!r} of function {self._function!r} wrote {output.size:,} bytes to its output buffer; "
                    "the output of an array function is the array that it gives back, and nothing else.",
                    function=self._function,
                )
            )
        size = result.array.nbytes
        if size > context.invocation.limits.output_bytes:
            raise self._blamed(context.limit_exceeded("output_bytes", size))
        self._result = result
        self._content = FilledBytes(size)

    def check_memory(self, trap: TrapError | None = None) -> None:
        """Check that the host's memory is as it was.

        Parameters
        ----------
        trap
            How the function ended, if it did so early.

        Raises
        ------
        ArrayMemoryError
            It is not.
        """
        memory = self._memory
        memory.measure()
        if not self._end:
            return
        for place, pointer in (("before", self._pointer), ("behind", self._end - len(_GUARD))):
            if memory.read(pointer, len(_GUARD)) != _GUARD:
                note = "" if trap is None else f"It ended like this: {trap.message}"
                raise self._blamed(ArrayMemoryError(self._function, self._entry, place=place, note=note)) from trap

    def take(self) -> bool:
        """Copy at most one piece of the result; tells whether all of it is in the output."""
        result, content = self._result, self._content
        if result is None or content is None:
            raise RuntimeError("take comes after check")
        size = min(_PIECE_BYTES, content.left)
        self._memory.copy_out(result.pointer + content.filled, content, size)
        if content.left:
            return False
        output = self._context.output
        headers = array_headers(result.array)
        # How a result is cut is for whoever stores it.
        output.headers.update({name: headers[name] for name in ("moc-dtype", "moc-shape")})
        output.headers.pop("moc-chunks", None)
        output.write(content.value)
        return True

    def _wrong_length(self, found: str) -> InvalidInputError:
        array = self._array
        return InvalidInputError(
            f"The input of function {self._function!r} is said to be an array of {array.dtype} with the shape "
            f"{list(array.shape)}, which has {array.nbytes:,} bytes; found {found}.",
            expected=array.nbytes,
            found=found,
        )

    def _blamed(self, error: Failure) -> Failure:
        error.details["stderr"] = stderr_tail(self._context)
        return error


def _signed(pointer: int) -> int:
    return pointer - (1 << 32) if pointer >> 31 else pointer


class ArrayGuest(CoroutineGuest):
    """A guest whose entry point is an array function; each piece of a copy is a slice of its own."""

    __slots__ = ("_array_call", "_entry", "_has_ended", "_numbers", "_region")

    def __init__(
        self,
        prepared: Prepared,
        context: CallContext,
        memory_bytes: int,
        entry: Export,
        numbers: tuple[Number, ...],
    ) -> None:
        self._region = Region()
        super().__init__(prepared, context, memory_bytes, entry, numbers)

    def _begin(self, entry: Export, numbers: tuple[Number, ...]) -> None:
        super()._begin(entry, numbers)
        self._entry = entry
        self._numbers = numbers
        self._array_call: ArrayCall | None = None
        self._has_ended = False

    def reset(self, export: Export, context: CallContext) -> None:
        """Run what makes the instance ready for the next array; see :meth:`.CoroutineGuest.reset`."""
        self._array_call = None
        super().reset(export, context)

    def rest(self) -> int:
        """Forget the call and its array; see :meth:`.CoroutineGuest.rest`."""
        self._array_call = None
        return super().rest()

    def poll(self, *slice_ticks: int) -> bool:
        """Run until the guest is done, waits, or has computed or copied for a slice; see :meth:`.CoroutineGuest.poll`.

        Raises
        ------
        GuestStatusError
            The program ended itself.
        MocError
            As :class:`ArrayCall` says.
        """
        try:
            is_done = super().poll(*slice_ticks)
        except TrapError as error:
            if self._array_call is not None:
                self._array_call.check_memory(error)
            raise
        if is_done and self.exit_code is not None and not self.resets:
            (self._array_call or ArrayCall(self.context, self._entry)).check(None, self.exit_code)
        return is_done

    def _next(self) -> bool | None:
        if self.resets or len(self._calls) > 1:
            return super()._next()
        call = self._array_call
        if call is None:
            call = self._array_call = ArrayCall(self.context, self._entry)
            call.place(self, self._region)
        if self._calls:
            if isinstance(self._answer, BaseException):
                raise self._answer
            if not call.fill():
                self.waiting_for = call.waiting
                return None
            self._calls = [(self._entry, call.arguments(self._numbers))]
            return super()._next()
        if not self._has_ended:
            super()._next()
            self._has_ended = True
            status, self.result = self.result, None
            call.check(status, None)
        return False if call.take() else None
