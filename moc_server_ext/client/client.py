"""The client that people hold: calls, and the nouns as Python objects, over any :class:`~..abc.Platform`."""

from __future__ import annotations

import ssl
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from ..abc import Platform
from ..errors import InvalidInputError, PlanError, from_json
from ..model import (
    CallRequest,
    CallResult,
    MapReduce,
    Mount,
    Number,
    RunRecord,
    RunState,
    parse_limits,
    parse_mode,
    parse_mounts,
    parse_name,
)
from ..plans.wait import wait
from ..storage.zarr_layout import BUFFERS, node_name
from .call_input import take_inputs
from .keyvalues import KeyValuesView
from .started import CallHandle
from .transport import API_PATH, Address
from .views import BuffersView, FunctionsView, to_text


class Client:
    """A platform in Python's own forms. All methods but :meth:`start` and coroutines block; thread-safe.

    Parameters
    ----------
    platform
        A server's or an embedded one; closed with the client.
    origin
        Where the platform is, in words; None leaves it to the platform, else says the server's address.
    """

    def __init__(self, platform: Platform, *, origin: str | None = None) -> None:
        self.platform = platform
        self.functions = FunctionsView(self)
        self.buffers = BuffersView(self)
        self.kv = KeyValuesView(self)
        self.closed = False
        self._origin = origin
        self._started: weakref.WeakSet[CallHandle] = weakref.WeakSet()
        self._lock = threading.Lock()

    @property
    def origin(self) -> str:
        """Who answers: ``server https://localhost:8443`` or ``embedded on DIR``."""
        known = self._origin or getattr(self.platform, "origin", None)
        return known or f"server {getattr(self.platform, 'url', 'of this process')}"

    def call(
        self,
        name: str,
        *arguments: Any,
        mode: str | None = None,
        entry: str | None = None,
        env: Mapping[str, str] | None = None,
        input: Any = b"",
        inputs: Sequence[Any] | None = None,
        limits: Mapping[str, Number] | None = None,
        dirs: Mapping[Any, Any] | Sequence[str | Mount] | None = None,
    ) -> CallResult:
        """Call a function and wait for its end.

        Parameters
        ----------
        name
            A function's name, or a blob id.
        *arguments
            Text or numbers: command-line arguments (posix), or the numbers of a direct call. An array in the first
            place is the input.
        env
            Environment variables of the guest; numbers become text.
        mode
            ``posix`` or ``direct``; by default what the module's exports suggest.
        entry
            The export to start.
        input
            The guest's stdin: bytes, text that is sent as UTF-8, a stored buffer, an array or the result of another
            call. The data type and the shape of an array go along.
        inputs
            Several of them in place of the one, as a list: the guest's stdin, then ``api://input/1`` and so on.
        limits
            Limits of this call by name, such as ``{"timeout_seconds": 2}``; they only lower those of the function.
        dirs
            Directories of this machine that the guest sees among its files, as ``{GUEST: HOST}`` or as a sequence of
            ``HOST::GUEST[:ro]``. Only where the storage is open in this process: a server opens none for its callers.

        Returns
        -------
        CallResult
            Also for an exit code other than 0.

        Raises
        ------
        FunctionNotFoundError, EntryPointNotFoundError, InvalidArgumentsError, DirectoriesNotServedError
            Nothing was started.
        TrapError, LimitExceededError
            The guest was ended; its output is lost.
        """
        return self.platform.call_sync(_request(name, arguments, mode, entry, env, input, inputs, limits, dirs))

    def start(
        self,
        name: str,
        *arguments: Any,
        mode: str | None = None,
        entry: str | None = None,
        env: Mapping[str, str] | None = None,
        input: Any = b"",
        inputs: Sequence[Any] | None = None,
        limits: Mapping[str, Number] | None = None,
        dirs: Mapping[Any, Any] | Sequence[str | Mount] | None = None,
    ) -> CallHandle:
        """Begin a call, with the parameters of :meth:`call`, and return at once.

        The call goes on while the handle is kept or dropped, and is cancelled when the client is closed or its
        process ends. What makes it fail is raised by the handle.

        Raises
        ------
        InvalidInputError
            The arguments are none. Nothing was started.
        """
        return self.begin(_request(name, arguments, mode, entry, env, input, inputs, limits, dirs))

    async def call_async(
        self,
        name: str,
        *arguments: Any,
        mode: str | None = None,
        entry: str | None = None,
        env: Mapping[str, str] | None = None,
        input: Any = b"",
        inputs: Sequence[Any] | None = None,
        limits: Mapping[str, Number] | None = None,
        dirs: Mapping[Any, Any] | Sequence[str | Mount] | None = None,
    ) -> CallResult:
        """Call a function as :meth:`call` does, without blocking the event loop; cancelling the task ends the guest."""
        handle = self.start(
            name, *arguments, mode=mode, entry=entry, env=env, input=input, inputs=inputs, limits=limits, dirs=dirs
        )
        try:
            return await handle
        finally:
            handle.cancel()  # Of a call that has ended nothing is changed.

    def begin(self, request: CallRequest) -> CallHandle:
        """Begin what `request` says; see :meth:`start`."""
        handle = CallHandle(self.platform, request)
        with self._lock:
            self._started.add(handle)
        return handle

    def mapreduce(
        self,
        source: str,
        *,
        map: str,
        combine: str | None = None,
        reduce: str | None = None,
        split_bytes: int = 4 << 20,
        partitions: int = 1,
        sink: str | None = None,
        threads: int = 0,
        progress: Callable[[RunRecord], None] | None = None,
    ) -> bytes:
        """Run a map-reduce over the lines of a stored buffer and give its output; see :class:`.MapReduce`.

        Parameters
        ----------
        progress
            Called with each record that differs from the one before.

        Raises
        ------
        TaskFailedError
            A task failed, which ended the run. Nothing was stored.
        PlanError
            The run was cancelled. Nothing was stored.
        """
        plan = MapReduce.from_json(
            {
                "source": source,
                "map": map,
                "combine": combine,
                "reduce": reduce,
                "split_bytes": split_bytes,
                "partitions": partitions,
                "sink": sink,
                "threads": threads,
            }
        )
        return self.output(self.wait(self.platform.runs.start(plan), progress=progress))

    def wait(self, run: RunRecord, *, progress: Callable[[RunRecord], None] | None = None) -> RunRecord:
        """Wait until a run has ended, and give its last record; see :func:`..plans.wait.wait`."""
        return wait(self.platform.runs, run.run_id, progress)

    def output(self, run: RunRecord) -> bytes:
        """Give the output of a run that has ended; raises its error if it failed."""
        if run.state is RunState.FAILED and run.error is not None:
            raise from_json(run.error)
        if run.state is not RunState.DONE:
            raise PlanError(f"The run has no output: it is {run.state.value}.", state=run.state.value)
        return self.platform.runs.output(run.run_id)

    def zarr_store(self, path: str = "") -> Any:
        """Give all that is stored as a store for zarr and xarray: blobs, buffers and key-values as one hierarchy.

        In the process that owns the storage it can be written below ``buffers``; through a server it is read-only.
        Reads see what is stored at their moment.

        Parameters
        ----------
        path
            The node that is the store's root, such as ``buffers``; empty is the whole hierarchy.
        """
        for owner in (self.platform, getattr(self.platform, "storage", None)):
            own = getattr(owner, "zarr_store", None)
            if own is not None:
                return own(path)
        from ..arrays.hierarchy_store import HierarchyStore

        return HierarchyStore(self.platform.zarr, path)

    def zarr_url(self, name: str | None = None) -> str:
        """Give the address under which other programs open a buffer, or all buffers, by Zarr over HTTP.

        They send the token as ``Authorization: Bearer TOKEN``, and trust the server's certificate (see
        :meth:`zarr_options`).

        Raises
        ------
        InvalidInputError
            This process has the storage and serves it to nobody; `name` cannot be a name.
        """
        url = self._address().url
        node = "" if name is None else "/" + node_name(parse_name(to_text(name), "buffer's name"))
        return f"{url.rstrip('/')}{API_PATH}zarr/{quote(f'{BUFFERS}{node}')}"

    def zarr_options(self) -> dict[str, Any]:
        """Give what lets fsspec open :meth:`zarr_url`: the token and the certificate, as ``storage_options``.

        It holds the token: whoever sees it can use the server.

        Raises
        ------
        InvalidInputError
            This process has the storage and serves it to nobody.
        """
        address = self._address()
        options: dict[str, Any] = {}
        if address.token:
            options["client_kwargs"] = {"headers": {"Authorization": f"Bearer {address.token}"}}
        if address.ca_file is not None:
            options["ssl"] = ssl.create_default_context(cafile=address.ca_file)
        return options

    def _address(self) -> Address:
        address: Address | None = getattr(self.platform, "address", None)
        if address is None:
            raise InvalidInputError(
                "There is no address: the storage is open in this process only. Start a server with `moc serve`."
            )
        return address

    def status(self) -> dict[str, Any]:
        """Tell what runs."""
        return self.platform.status()

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Remove the object files that nothing refers to and that are due; tell what went, and what is held and why.

        Parameters
        ----------
        dry_run
            Remove nothing; tell what would go, and of the files that the catalog does not know.
        """
        return self.platform.gc(dry_run=dry_run)

    def promote(self) -> dict[str, Any]:
        """Make the standby the primary; ConflictError if it is none."""
        return self.platform.promote()

    def close(self) -> None:
        """Cancel the calls that were started, and let go of the platform; idempotent."""
        self.closed = True
        with self._lock:
            started = list(self._started)
        for each in started:
            each.cancel()
        self.platform.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<moc client: {self.origin}>"


def _request(
    name: str,
    arguments: tuple[Any, ...],
    mode: str | None,
    entry: str | None,
    env: Mapping[str, str] | None,
    input: Any,
    inputs: Sequence[Any] | None,
    limits: Mapping[str, Number] | None,
    dirs: object,
) -> CallRequest:
    first, more, arguments = take_inputs(input, inputs, arguments)
    return CallRequest(
        function=to_text(name),
        arguments=tuple(_argument(each) for each in arguments),
        mode=parse_mode(mode),
        entry=entry,
        env={to_text(variable): _argument(value) for variable, value in (env or {}).items()},
        input=first.content,
        input_headers=first.headers,
        more_inputs=more,
        limits=parse_limits([f"{limit}={value}" for limit, value in (limits or {}).items()]),
        mounts=parse_mounts(dirs),
    )


def _argument(value: Any) -> str:
    """Give an argument as the text that a command line would have."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return repr(int(value))  # True is 1, a member of an IntEnum its number.
    if isinstance(value, float):
        return repr(float(value))
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _argument(value.item())  # A NumPy scalar.
    raise InvalidInputError(
        f"An argument is text or a number, not {type(value).__name__}. Bytes for the guest's stdin go into input=."
    )
