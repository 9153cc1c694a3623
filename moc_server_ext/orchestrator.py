"""The orchestrator: the one way in.

Every door (HTTP, CLI, magics, Python, plans, guests) hands a :class:`~.model.CallRequest` to it. A name is resolved
once into a sealed :class:`~.model.Invocation` (blob, entry point, mode, grants, limits), which an engine runs in a call
context of its own. What the words of a request mean is in :mod:`.invocation`; running guests is the engine's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol, Self

from .abc import Bytes, CallServices, CallStreams, Hierarchy, KeyValues, LocalBlobs, LocalBuffers
from .admission import Admission
from .buffers.channel import Channel
from .buffers.exchange import ExchangeBuffer, input_buffers
from .buffers.streamed import RaisedByStreams, SinkBuffer, SourceBuffer
from .calls import CallTable
from .egress.network import Network
from .errors import (
    ArrayRequiredError,
    CancelledError,
    DirectoriesNotServedError,
    InvalidArgumentsError,
    InvalidInputError,
    LimitExceededError,
)
from .functions import FunctionTable
from .guest_api.context import CallContext, beyond_limit
from .invocation import (
    parse_numbers,
)
from .model import (
    Activity,
    BoundImport,
    CallInput,
    CallRequest,
    CallResult,
    Invocation,
    Limits,
    Mode,
    ModuleInterface,
    Number,
)
from .model.bound_imports import check_bound_import
from .model.exports import entry_name
from .resolving import Resolver, Target, seal
from .scope import CallScope

Run = Callable[[CallContext], CallResult]

_CLOSE_STEP_SECONDS = 0.05
_NO_STREAMS: Final = CallStreams()


class WarmInstance(Protocol):
    """An instance that serves several direct calls, one at a time; `is_worn` when the next had better get another."""

    is_worn: bool

    def call(self, *numbers: Number) -> Number | tuple[Number, ...] | None:
        """Call the entry point; after an error of the guest the instance is of no further use."""
        ...

    def run(self, context: CallContext) -> CallResult:
        """Call the entry point, an array function, with the input and the numbers of `context`."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Engine(Protocol):
    """Runs one content type."""

    def make_ready(self) -> None:
        """Prepare what else the first call has to wait for; calls may come meanwhile."""
        ...

    def inspect(self, name: str, content: bytes) -> ModuleInterface:
        """Read what a module takes and offers, without running it."""
        ...

    def run(self, context: CallContext, load: Callable[[], bytes]) -> CallResult:
        """Run a call to its end; `load` gives the module if it is not cached."""
        ...

    async def drive(self, context: CallContext, load: Callable[[], bytes]) -> CallResult:
        """Run a call to its end on the running event loop; cancelling the coroutine cancels the call."""
        ...

    def warm(self, invocation: Invocation, load: Callable[[], bytes], services: CallServices) -> WarmInstance:
        """Make an instance for direct calls, whose host functions reach `services`."""
        ...


class Orchestrator:
    """Resolves, admits and runs calls; also what guests reach outside of their call (``abc.CallServices``).

    Thread-safe.

    Parameters
    ----------
    limits
        The server's limits; functions and calls only lower them.
    network
        How requests of guests leave this machine.
    """

    def __init__(
        self,
        *,
        functions: FunctionTable,
        blobs: LocalBlobs,
        buffers: LocalBuffers,
        kv: KeyValues,
        zarr: Hierarchy,
        engine: Engine,
        limits: Limits,
        admission: Admission,
        network: Network,
        calls: CallTable,
    ) -> None:
        self.functions = functions
        self.blobs = blobs
        self.buffers = buffers
        self.kv = kv
        self.zarr = zarr
        self.admission = admission
        self.calls = calls
        self.engine = engine
        self.limits = limits
        self.network = network
        self._resolver = Resolver(functions, blobs, engine.inspect, limits)
        self._live: set[CallContext] = set()

    # -- doors --------------------------------------------------------------------------------------------------------

    def call_sync(
        self, request: CallRequest, streams: CallStreams | None = None, *, scope: CallScope | None = None
    ) -> CallResult:
        """Run a function and wait for its end; see :meth:`.Cluster.call_sync`."""
        target = self._resolver.target(request)
        if streams is None:
            return self._tracked(self._streamed(seal(target, request), request, _NO_STREAMS), target, scope)
        with RaisedByStreams(streams) as watched:
            context = self._streamed(seal(target, request), request, watched)
            if watched.begun is not None:
                watched.begun(context.call_id, context.cancel)
            result = self._tracked(context, target, scope)
        return result if watched.stderr is None else replace(result, stderr=b"")

    async def call(
        self,
        request: CallRequest,
        *,
        input: Channel | bytes | None = None,
        output: Channel | None = None,
        stderr: Callable[[bytes], None] | None = None,
        scope: CallScope | None = None,
    ) -> CallResult:
        """Run a function on the running event loop; see :meth:`.Cluster.call`.

        `output` is closed at the end, whatever that is. This is how servers run calls: no directory of the host is
        mounted here, whoever asks.
        """
        try:
            if request.mounts:
                raise DirectoriesNotServedError([each.host for each in request.mounts])
            # Bytes without a name may have to be compiled, and for an unknown name the nearest ones are looked for.
            is_at_hand = self.functions.find(request.function) is not None
            target = (
                self._resolver.target(request)
                if is_at_hand
                else await asyncio.to_thread(self._resolver.target, request)
            )
            invocation = seal(target, request)
            if output is not None:
                output.bound(invocation.limits.output_bytes, beyond_limit(invocation, "output_bytes"))
            with await self.admission.admit(request.caller) as place:
                source = (
                    input if isinstance(input, Channel) else ExchangeBuffer(request.input if input is None else input)
                )
                if request.input_headers:
                    source.headers.update(request.input_headers)
                context = CallContext(
                    invocation,
                    source,
                    output,
                    more_inputs=input_buffers(request.more_inputs),
                    services=self,
                    live=isinstance(input, Channel) or output is not None,
                    listener=stderr,
                    call_id=request.call_id,
                )
                context.place = place
                with self.calls.track(context) as tracked, _Living(self._live, context, scope):
                    return tracked.done(await self.engine.drive(context, target.load))
        finally:
            if output is not None:
                output.close()

    def prepare(self, request: CallRequest) -> PreparedCall:
        """Resolve a request once, for many calls of one input each; the errors of resolving come from here."""
        target = self._resolver.target(request)
        return PreparedCall(self, seal(target, request, numbers_follow=True), target)

    def run_resolved(
        self, invocation: Invocation, input: ExchangeBuffer, scope: CallScope | None, run: Run
    ) -> CallResult:
        """Run what was resolved before, without queueing, by whatever runs a context."""
        self.admission.check_open()
        context = CallContext(invocation, input, services=self)
        with _Living(self._live, context, scope):
            return run(context)

    # -- for guests ---------------------------------------------------------------------------------------------------

    def nested(self, parent: CallContext, request: CallRequest, numbers: tuple[Number, ...] = ()) -> CallContext:
        """Resolve a call made by a guest into a child context.

        The child has the grants of its own declaration, at most what its parent has left of its limits, and none of
        the directories of the host that its parent may have. In direct mode `numbers` are its arguments, converted to
        the types of its entry point; in posix mode those of the request are.

        Raises
        ------
        LimitExceededError
            The call tree is as deep as it may be.
        MocError
            The errors of resolving.
        """
        self._check_depth(parent)
        target = self._resolver.target(request)
        # The guest names both kinds of arguments in one call; the mode says which are meant.
        direct = target.template.mode is Mode.DIRECT
        arguments = tuple(map(str, numbers)) if direct else request.arguments
        request = replace(request, arguments=arguments, caller=parent.invocation.caller, mounts=())
        return self._child(parent, seal(target, request), request.input, request.more_inputs)

    def bound(self, parent: CallContext, wanted: BoundImport, numbers: tuple[Number, ...]) -> CallContext:
        """Resolve a call through an import that is bound to a function into a child context, as :meth:`nested` does.

        Everything that was checked when the importer was registered is checked again: the callee may have changed.

        Raises
        ------
        LimitExceededError
            The call tree is as deep as it may be.
        MissingImportError
            There is no such function any more, or its export is gone or has another type.
        NotGrantedError
            The importer may not call it.
        """
        self._check_depth(parent)
        importer, request = parent.invocation, CallRequest(wanted.function, mode=Mode.DIRECT, entry=wanted.export)
        record = self.functions.find(wanted.function)
        while record is not None:
            check_bound_import(importer.function, wanted, importer.grants, record.exports)
            target = self._resolver.target(request)
            if target.record is record:
                template = target.template_for(importer.caller)
                return self._child(parent, replace(template, numbers=numbers), b"")
            # Replaced since it was looked up: what runs must be what was checked.
            record = target.record
        raise self.functions.not_registered(importer.function, wanted)

    @staticmethod
    def _check_depth(parent: CallContext) -> None:
        if parent.depth >= parent.invocation.limits.call_depth:
            raise parent.limit_exceeded("call_depth", parent.depth + 1)

    def _child(
        self, parent: CallContext, invocation: Invocation, input: Bytes, more_inputs: tuple[CallInput, ...] = ()
    ) -> CallContext:
        invocation = replace(invocation, limits=invocation.limits.narrowed(parent.ceiling().to_json()))
        return CallContext(
            invocation, ExchangeBuffer(input), more_inputs=input_buffers(more_inputs), services=self, parent=parent
        )

    def activity(self) -> Activity:
        """Tell how busy the cluster is. Never blocks, and may be called on an event loop's thread."""
        running = self.admission.running
        return Activity(
            running=running,
            waiting=max(0, running - self.admission.active),
            queued=self.admission.queued,
            refused=self.admission.refused,
            memory_bytes=self.admission.held_bytes,
            warm_instances=self.admission.idle.count,
            warm_bytes=self.admission.idle.memory_bytes,
        )

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self, grace_seconds: float = 5.0) -> None:
        """Refuse further calls, cancel those that run and wait for their end; idempotent."""
        self.admission.close()
        end = time.monotonic() + grace_seconds
        while True:
            # Again and again: a call may have passed the door before it closed, and begin only now.
            for context in self._live.copy():
                context.cancel()
            left = end - time.monotonic()
            idle = self.admission.wait_idle(max(0.0, min(left, _CLOSE_STEP_SECONDS)))
            if left <= 0 or (idle and not self._live):
                return
            if idle:
                time.sleep(_CLOSE_STEP_SECONDS / 10)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _streamed(self, invocation: Invocation, request: CallRequest, streams: CallStreams) -> CallContext:
        output = None
        if streams.output is not None:
            limit = invocation.limits.output_bytes
            output = SinkBuffer(streams.output, limit_bytes=limit, exceeded=beyond_limit(invocation, "output_bytes"))
        source = ExchangeBuffer(request.input) if streams.source is None else SourceBuffer(streams.source)
        source.headers.update(request.input_headers)
        return CallContext(
            invocation,
            source,
            output,
            more_inputs=input_buffers(request.more_inputs),
            services=self,
            listener=streams.stderr,
            call_id=request.call_id,
        )

    def _tracked(self, context: CallContext, target: Target, scope: CallScope | None) -> CallResult:
        caller = context.invocation.caller
        with self.admission.enter(caller) as context.place, self.calls.track(context) as tracked:
            return tracked.done(self._run(context, target.load, scope))

    def _run(self, context: CallContext, load: Callable[[], bytes], scope: CallScope | None) -> CallResult:
        with _Living(self._live, context, scope):
            return self.engine.run(context, load)


class _Living:
    """Lets a call be found, and ended, while its ``with`` block runs."""

    __slots__ = ("_context", "_live", "_scope")

    def __init__(self, live: set[CallContext], context: CallContext, scope: CallScope | None) -> None:
        self._live = live
        self._context = context
        self._scope = scope

    def __enter__(self) -> None:
        if self._scope is not None:
            self._scope.add(self._context)
        self._live.add(self._context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context = self._context
        self._live.discard(context)
        if self._scope is not None:
            self._scope.discard(context)
        # A cancelled call has no time left: an engine that looks at the deadline alone tells that.
        if isinstance(error, LimitExceededError) and context.cancelled:
            raise CancelledError(context.invocation.function) from error


class PreparedCall:
    """A request that was resolved once, for many calls. Thread-safe; a context manager.

    Its calls do not queue: whoever prepares a call bounds how many of it run at once.
    """

    def __init__(self, orchestrator: Orchestrator, invocation: Invocation, target: Target) -> None:
        self.invocation = invocation
        self._orchestrator = orchestrator
        self._target = target
        self._warm = invocation.reusable and invocation.mode is Mode.DIRECT
        self._idle: list[WarmInstance] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def run(
        self, input: Bytes = b"", *, input_headers: Mapping[str, str] | None = None, scope: CallScope | None = None
    ) -> CallResult:
        """Run once with `input` as input buffer 0: in a fresh instance, or a reusable direct function in a warm one.

        Parameters
        ----------
        input_headers
            Headers of the input by lower-case name; an array function needs those of an array.
        scope
            Ends the call when it is cancelled.

        Raises
        ------
        CancelledError
            The scope was cancelled, before or while it ran.
        GuestError
            The guest failed.
        """
        buffer = ExchangeBuffer(input)
        buffer.headers.update(input_headers or {})
        run = self._run_warm if self._warm and self._target.takes_array else self._run_fresh
        return self._orchestrator.run_resolved(self.invocation, buffer, scope, run)

    def call(self, *numbers: Number) -> Number | tuple[Number, ...] | None:
        """Call a direct function; a reusable one in an instance that is kept warm between calls.

        An instance serves one call at a time, and none any more after an error.

        Raises
        ------
        InvalidArgumentsError
            Their number or the type of one is wrong.
        GuestError
            The guest failed.
        """
        if self._target.takes_array:
            raise ArrayRequiredError(self.invocation.function, entry_name(self.invocation.entry))
        if not self._warm:
            invocation = self._with_numbers(numbers)
            return self._orchestrator.run_resolved(invocation, ExchangeBuffer(b""), None, self._run_fresh).result
        try:
            instance = self._idle.pop()
        except IndexError:
            instance = self._make()
        try:
            result = instance.call(*numbers)
        except InvalidArgumentsError:
            self._idle.append(instance)
            raise
        except BaseException:
            instance.close()
            raise
        self._take_back(instance)
        return result

    def _run_fresh(self, context: CallContext) -> CallResult:
        return self._orchestrator.engine.run(context, self._target.load)

    def _run_warm(self, context: CallContext) -> CallResult:
        try:
            instance = self._idle.pop()
        except IndexError:
            instance = self._make()
        try:
            result = instance.run(context)
        except BaseException:
            # Whatever it is: half of an input may lie in the guest's memory.
            instance.close()
            raise
        self._take_back(instance)
        return result

    def _make(self) -> WarmInstance:
        orchestrator = self._orchestrator
        orchestrator.admission.check_open()
        return orchestrator.engine.warm(self.invocation, self._target.load, orchestrator)

    def _take_back(self, instance: WarmInstance) -> None:
        """Keep an instance whose call ended well for the next one, unless it is worn."""
        if instance.is_worn:
            instance.close()
        else:
            self._idle.append(instance)

    def _with_numbers(self, numbers: tuple[Number, ...]) -> Invocation:
        invocation = self.invocation
        if invocation.mode is not Mode.DIRECT:
            raise InvalidInputError(
                f"Function {invocation.function!r} was prepared in posix mode, which takes no numbers."
            )
        checked = parse_numbers(invocation.function, entry_name(invocation.entry), self._target.signature, numbers)
        return replace(invocation, numbers=checked)

    def close(self) -> None:
        """Let go of the warm instances; idempotent."""
        while self._idle:
            self._idle.pop().close()
