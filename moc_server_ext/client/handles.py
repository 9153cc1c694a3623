"""Handles: one stored buffer and one registered function, as Python objects.

Their texts hold neither ids nor times, so that saved notebooks stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..abc import Buffers, Platform
from ..arrays.elements import as_elements, describe
from ..arrays.xarray_nodes import data_array, dimensions_of, import_xarray, open_group
from ..arrays.zarr_nodes import open_node
from ..errors import GuestExitError, InvalidInputError
from ..model import ArraySpec, BufferRecord, CallResult, FunctionRecord, Mount, Number
from ..model.exports import describe_exports
from .inspection import SignatureOfInstances, describe_buffer, describe_function
from .reading import (
    consistently,
    is_group,
    node_path,
    reader_of,
    replaced_error,
    rows,
    select,
    spec_of,
    whole,
)
from .values import array_content, as_array

if TYPE_CHECKING:
    import numpy

    from .client import Client


class BufferHandle:
    """A stored buffer: bytes, an array, or a group of arrays. Nothing is kept: every access asks the platform.

    ``handle[10:20, ::2]`` reads the chunks that it needs and gives what NumPy gives; of bytes, slices are bytes and an
    integer index gives an integer. All that one access reads is of one version of the buffer. ``bytes(handle)`` reads
    it whole, those of an array in C order, little-endian; ``numpy.asarray(handle)`` reads it as an array.
    ``len(handle)`` is the length of the first axis, for bytes their number.

    A group without a main array, such as a Dataset of xarray, has no dtype, shape and elements of its own: these raise
    AttributeError and TypeError, which say what to do.
    """

    __slots__ = ("_client", "_name")

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The buffer's name."""
        return self._name

    @property
    def record(self) -> BufferRecord:
        """Size, content type, headers and so on of the present content; BufferNotFoundError once it is deleted."""
        return self._buffers.stat(self._name)

    @property
    def content_type(self) -> str:
        """The content type."""
        return self.record.content_type

    @property
    def dtype(self) -> numpy.dtype[Any]:
        """NumPy's data type of the elements; ``uint8`` for bytes."""
        import numpy

        return numpy.dtype(self._spec("dtype").dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of elements along each axis; of bytes, their number."""
        return self._spec("shape").shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._spec("ndim").ndim

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk: what is stored, and at most read, at once."""
        return self._spec("chunks").chunks

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes; those without a name are ``dim_0`` and so on, as in xarray."""
        return dimensions_of(self._spec("dims"))

    @property
    def attrs(self) -> dict[str, Any]:
        """What was said of the array when it was stored; empty for bytes. Changing it changes nothing stored."""
        return dict(self._spec("attrs").attributes)

    # -- as bytes ---------------------------------------------------------------------------------------------------

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``; a range beyond the end is cut off there."""
        return self._buffers.read(self._name, start, stop)

    def parts(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts, all of one version, without ever having them in memory together."""
        return self._buffers.parts(self._name, start, stop)

    def text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read it whole, as text."""
        return self.read().decode(encoding, errors)

    # -- as an array ------------------------------------------------------------------------------------------------

    def __getitem__(self, selection: Any) -> Any:
        platform = self._platform
        return consistently(self._buffers, self._name, lambda record: select(platform, record, selection))

    def to_numpy(self) -> numpy.ndarray[Any, Any]:
        """Read it whole, as an array of one's own; bytes as ``uint8``.

        Raises
        ------
        TypeError
            It is a group without a main array.
        ConflictError
            It was replaced each time that it was read.
        """
        platform = self._platform
        array: numpy.ndarray[Any, Any] = consistently(self._buffers, self._name, lambda record: whole(platform, record))
        return array

    def to_xarray(self, *, load: bool = True) -> Any:
        """Give it as xarray's own: what was a DataArray as one, with its coordinates, any other group as a Dataset.

        An array without labels, and bytes, become a DataArray with the names of :attr:`dims`.

        Parameters
        ----------
        load
            Whether to read all of it now, of one version. Else a group is read when it is used, as it is then.

        Raises
        ------
        MissingExtraError
            xarray is not installed.
        """
        import_xarray()
        platform = self._platform

        def open(record: BufferRecord) -> Any:
            if is_group(platform, record):
                return open_group(platform.zarr, node_path(self._name), load=load)
            return data_array(self._name, spec_of(record), whole(platform, record))

        return consistently(self._buffers, self._name, open)

    def to_zarr(self) -> Any:
        """Open it as a read-only array or group of zarr, which reads chunks as they are when it needs them."""
        self.record  # noqa: B018 - what is not there is said here, with the nearest names
        return open_node(self._platform.zarr, node_path(self._name))

    def blocks(self) -> Iterator[tuple[tuple[slice, ...], Any]]:
        """Go through the array chunk by chunk, in C order of their grid, with no more than one in memory.

        Gives where each lies, as a slice for each axis, and its elements: ``for where, block in handle.blocks()``.

        Raises
        ------
        ConflictError
            It was replaced meanwhile, before the first block of another version would be given.
        """
        record = self.record
        for where, block in reader_of(self._platform, record, whole=True).blocks():
            if self.record != record:
                raise replaced_error(self._name)
            yield where, block

    def append(self, value: Any) -> BufferRecord:
        """Add elements along the first axis, all at once; durable on return.

        Parameters
        ----------
        value
            An array of the same type, and of the same shape but for the first axis.

        Raises
        ------
        InvalidInputError
            It does not fit. Nothing was changed.
        """
        elements, attributes = as_elements(as_array(value))
        spec = describe(elements, attributes=attributes)
        return self._buffers.append(self._name, array_content(elements), spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> numpy.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("Unable to avoid a copy: a stored buffer is always read into memory.")
        array = self.to_numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __iter__(self) -> Iterator[Any]:
        return rows(self._platform, self.record)

    def __len__(self) -> int:
        shape = spec_of(self.record).shape
        if not shape:
            raise TypeError("len() of unsized object")
        return shape[0]

    def __bytes__(self) -> bytes:
        return self.read()

    def __bool__(self) -> bool:
        return True  # An empty buffer is still a buffer.

    def __repr__(self) -> str:
        return describe_buffer(self.record)

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _platform(self) -> Platform:
        return self._client.platform

    @property
    def _buffers(self) -> Buffers:
        return self._platform.buffers

    def _spec(self, attribute: str) -> ArraySpec:
        try:
            return spec_of(self.record)
        except TypeError as error:
            # So that hasattr() and getattr() with a default answer as for any object.
            raise AttributeError(f"There is no {attribute}. {error}") from None


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
        inputs: Sequence[Any] | None = None,
        mode: str | None = None,
        entry: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, Number] | None = None,
        dirs: Mapping[Any, Any] | Sequence[str | Mount] | None = None,
    ) -> Any:
        """Call the function and give what it is called for.

        Parameters
        ----------
        *arguments
            Command-line arguments of a posix function, numbers of a direct one. An array in the first place, or one
            bytes object alone, is the input.
        input
            The guest's stdin: bytes, text that is sent as UTF-8, or an array, whose type and shape go along.
        inputs
            Several of them in place of the one, as a list.

        Returns
        -------
        numpy.ndarray or bytes or int or float or tuple
            The output if the guest says that it is an array. Else the output of a posix call; the number (or numbers)
            of a direct one; for a direct call without a result, its output if it wrote any, else None.

        Raises
        ------
        GuestExitError
            The guest ended with an exit code other than 0. It has the end of the guest's stderr; for the output and
            the code as a result, use ``moc.call``.
        """
        input, arguments = _as_input(arguments, input, inputs)
        return self._value(
            self._client.call(
                self.name,
                *arguments,
                mode=mode,
                entry=entry,
                env=env,
                input=input,
                inputs=inputs,
                limits=limits,
                dirs=dirs,
            )
        )

    async def call_async(
        self,
        *arguments: Any,
        input: Any = None,
        inputs: Sequence[Any] | None = None,
        mode: str | None = None,
        entry: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, Number] | None = None,
        dirs: Mapping[Any, Any] | Sequence[str | Mount] | None = None,
    ) -> Any:
        """Call the function as ``handle(…)`` does, without blocking the event loop; cancelling the task ends it."""
        input, arguments = _as_input(arguments, input, inputs)
        return self._value(
            await self._client.call_async(
                self.name,
                *arguments,
                mode=mode,
                entry=entry,
                env=env,
                input=input,
                inputs=inputs,
                limits=limits,
                dirs=dirs,
            )
        )

    def _value(self, result: CallResult) -> Any:
        if result.exit_code:
            raise GuestExitError(self.name, result.exit_code, stderr=result.stderr[-2000:].decode(errors="replace"))
        if result.array is not None:
            return result.to_numpy().copy()  # One's own: it can be written.
        if result.exit_code is not None:
            return result.output
        return result.result if result.result is not None else result.output or None

    def getdoc(self) -> str:
        """Describe the function; IPython shows this for ``?`` and Shift-Tab."""
        return describe_function(self._record)

    def __repr__(self) -> str:
        exports = ", ".join(describe_exports(self._record.exports))
        return f"<function {self.name!r}: {exports or 'no exports'}>"


def _as_input(arguments: tuple[Any, ...], input: Any, inputs: Sequence[Any] | None) -> tuple[Any, tuple[Any, ...]]:
    """Take one bytes object alone as the input; arrays are taken by the client."""
    if len(arguments) != 1 or not isinstance(arguments[0], bytes | bytearray | memoryview):
        return (b"" if input is None else input), arguments
    if input is not None or inputs is not None:
        keyword = "input=" if inputs is None else "inputs="
        raise InvalidInputError(f"The input is given twice: as a bytes argument and as {keyword}.")
    return arguments[0], ()
