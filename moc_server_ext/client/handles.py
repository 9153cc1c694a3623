"""Handles: one stored buffer and one registered function, as Python objects.

Their texts hold neither ids nor times, so that saved notebooks stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import GuestExitError, InvalidInputError
from ..model import BufferRecord, CallResult, FunctionRecord, Number
from ..model.exports import describe_exports
from .inspection import SignatureOfInstances, describe_function

if TYPE_CHECKING:
    from .client import Client


class BufferHandle:
    """A stored buffer. Nothing is kept: every access asks the platform.

    ``bytes(handle)`` reads it whole, ``len(handle)`` gives its size in bytes.
    """

    __slots__ = ("_client", "_name")

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    @property
    def name(self) -> str:
        """The buffer's name."""
        return self._name

    @property
    def record(self) -> BufferRecord:
        """Size, content type, headers and time of the present content; BufferNotFoundError once it is deleted."""
        return self._client.platform.buffers.stat(self._name)

    @property
    def content_type(self) -> str:
        """The content type."""
        return self.record.content_type

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``; a range beyond the end is cut off there."""
        return self._client.platform.buffers.read(self._name, start, stop)

    def parts(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts, all of one version, without ever having them in memory together."""
        return self._client.platform.buffers.parts(self._name, start, stop)

    def text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read it whole, as text."""
        return self.read().decode(encoding, errors)

    def __bytes__(self) -> bytes:
        return self.read()

    def __len__(self) -> int:
        return self.record.size

    def __bool__(self) -> bool:
        return True  # An empty buffer is still a buffer.

    def __repr__(self) -> str:
        record = self.record
        return f"<buffer {record.name!r}: {_count(record.size, 'byte')}, {record.content_type}>"


class FunctionHandle:
    """A registered function that can be called like one of Python's."""

    __slots__ = ("_client", "_record")

    __signature__ = SignatureOfInstances()

    def __init__(self, client: Client, record: FunctionRecord) -> None:
        self._client = client
        self._record = record

    @property
    def name(self) -> str:
        """The function's name."""
        return self._record.name

    @property
    def record(self) -> FunctionRecord:
        """What is known of the function, as it was when this handle was made."""
        return self._record

    def __call__(
        self,
        *arguments: Any,
        input: Any = None,
        mode: str | None = None,
        entry: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, Number] | None = None,
    ) -> Any:
        """Call the function and give what it is called for.

        Parameters
        ----------
        *arguments
            Command-line arguments of a posix function, numbers of a direct one. One bytes object, alone, is the input.
        input
            The guest's stdin: bytes, or text that is sent as UTF-8.

        Returns
        -------
        bytes or int or float or tuple
            The output of a posix call; the number (or numbers) of a direct one; for a direct call without a result,
            its output if it wrote any, else None.

        Raises
        ------
        GuestExitError
            The guest ended with an exit code other than 0. It has the end of the guest's stderr; for the output and
            the code as a result, use ``moc.call``.
        """
        input, arguments = _as_input(arguments, input)
        return self._value(
            self._client.call(self.name, *arguments, mode=mode, entry=entry, env=env, input=input, limits=limits)
        )

    async def call_async(
        self,
        *arguments: Any,
        input: Any = None,
        mode: str | None = None,
        entry: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, Number] | None = None,
    ) -> Any:
        """Call the function as ``handle(…)`` does, without blocking the event loop; cancelling the task ends it."""
        input, arguments = _as_input(arguments, input)
        return self._value(
            await self._client.call_async(
                self.name, *arguments, mode=mode, entry=entry, env=env, input=input, limits=limits
            )
        )

    def _value(self, result: CallResult) -> Any:
        if result.exit_code:
            raise GuestExitError(self.name, result.exit_code, stderr=result.stderr[-2000:].decode(errors="replace"))
        if result.exit_code is not None:
            return result.output
        return result.result if result.result is not None else result.output or None

    def getdoc(self) -> str:
        """Describe the function; IPython shows this for ``?`` and Shift-Tab."""
        return describe_function(self._record)

    def __repr__(self) -> str:
        exports = ", ".join(describe_exports(self._record.exports))
        return f"<function {self.name!r}: {exports or 'no exports'}>"


def _as_input(arguments: tuple[Any, ...], input: Any) -> tuple[Any, tuple[Any, ...]]:
    """Take one bytes object alone as the input."""
    if len(arguments) != 1 or not isinstance(arguments[0], bytes | bytearray | memoryview):
        return (b"" if input is None else input), arguments
    if input is not None:
        raise InvalidInputError("The input is given twice: as a bytes argument and as input=.")
    return arguments[0], ()


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
