"""The orchestrator: the one way in.

Every door (HTTP, CLI, magics, Python, plans, guests) hands a :class:`~.model.CallRequest` to it. A name is resolved
once into a sealed :class:`~.model.Invocation` (blob, entry point, mode, grants, limits), which an engine runs in a call
context of its own. What the words of a request mean is in :mod:`.invocation`; running guests is the engine's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol, Self

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
from .functions import BLOB_ID, FunctionTable
from .guest_api.context import CallContext, beyond_limit
from .invocation import (
    check_arguments,
    check_env,
    check_inputs,
    check_limits,
    check_mounts,
    check_text_size,
    choose_start,
    has_array,
    parse_numbers,
)
from .model import (
    Activity,
    BoundImport,
    CallInput,
    CallRequest,
    CallResult,
    Declaration,
    FunctionRecord,
    Invocation,
    Limits,
    Mode,
    ModuleInterface,
    Number,
    Signature,
)
from .model.bound_imports import check_bound_import, not_bound
from .model.exports import caller_signature, entry_name, is_array_export
from .scope import CallScope

Run = Callable[[CallContext], CallResult]

_TARGETS_KEPT = 1024
_CALLERS_KEPT = 64
_CLOSE_STEP_SECONDS = 0.05


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


@dataclass(frozen=True, slots=True)
class _Target:
    """What a request resolves to before its own arguments: kept, so that resolving is one look-up for most calls.

    Parameters
    ----------
    signature
        The numbers that a caller passes in direct mode.
    takes_array
        Whether its input must be an array.
    """

    record: FunctionRecord | None
    template: Invocation
    signature: Signature
    load: Callable[[], bytes]
    takes_array: bool = False
    by_caller: dict[str, Invocation] = field(default_factory=dict)

    def template_for(self, caller: str) -> Invocation:
        """Give the template with its caller: most calls say nothing else of their own."""
        found = self.by_caller.get(caller)
        if found is None:
            if len(self.by_caller) >= _CALLERS_KEPT:
                self.by_caller.clear()
            found = self.by_caller[caller] = replace(self.template, caller=caller)
        return found


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
        self._targets: dict[tuple[str, Mode | None, str | None, bool], _Target] = {}
        self._live: set[CallContext] = set()

    # -- doors --------------------------------------------------------------------------------------------------------

    def call_sync(
        self, request: CallRequest, streams: CallStreams | None = None, *, scope: CallScope | None = None
    ) -> CallResult:
        """Run a function and wait for its end; see :meth:`.Cluster.call_sync`."""
        target = self._target(request)
        with RaisedByStreams(streams or CallStreams()) as watched:
            context = self._streamed(self._seal(target, request), request, watched)
            if watched.begun is not None:
                watched.begun(context.call_id, context.cancel)
            with self.admission.enter(request.caller) as context.place, self.calls.track(context) as tracked:
                result = tracked.done(self._run(context, target.load, scope))
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
            target = self._target(request) if is_at_hand else await asyncio.to_thread(self._target, request)
            invocation = self._seal(target, request)
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
        target = self._target(request)
        return PreparedCall(self, self._seal(target, request, numbers_follow=True), target)

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
        target = self._target(request)
        # The guest names both kinds of arguments in one call; the mode says which are meant.
        direct = target.template.mode is Mode.DIRECT
        arguments = tuple(map(str, numbers)) if direct else request.arguments
        request = replace(request, arguments=arguments, caller=parent.invocation.caller, mounts=())
        return self._child(parent, self._seal(target, request), request.input, request.more_inputs)

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
            target = self._target(request)
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

    def _target(self, request: CallRequest) -> _Target:
        """Look up what a request names."""
        name = request.function
        is_array = has_array(request.input_headers)
        key = (name, request.mode, request.entry, is_array)
        target = self._targets.get(key)
        record = self.functions.find(name)
        # A blob never changes, so that a target without a record is always right; one with a record is right as long
        # as the name points to that record.
        if target is None or target.record is not record:
            target = self._find_target(name, record, (request.mode, request.entry), is_array)
            if len(self._targets) >= _TARGETS_KEPT:
                self._targets.clear()
            self._targets[key] = target
        return target

    def _find_target(
        self, name: str, record: FunctionRecord | None, requested: tuple[Mode | None, str | None], is_array: bool
    ) -> _Target:
        if record is not None:
            label, blob_id, exports, declaration = name, record.blob_id, record.exports, record.declaration
        elif BLOB_ID.fullmatch(name):
            # Bytes without a name: they run with no grants and under the server's limits.
            label, blob_id, declaration = name[:12], name, Declaration()
            interface = self.engine.inspect(label, self.blobs.read(blob_id))
            if interface.bound_imports:
                raise not_bound(label, interface.bound_imports[0], self.functions.guest_modules)
            exports = interface.exports
        else:
            raise self.functions.not_found(name)
        declared = declaration.mode, declaration.entry
        mode, entry = choose_start(label, requested=requested, declared=declared, exports=exports, has_array=is_array)
        template = Invocation(
            function=label,
            blob_id=blob_id,
            mode=mode,
            entry=entry,
            grants=declaration.grants,
            limits=self.limits.narrowed(declaration.limits),
            reusable=declaration.reusable,
            deterministic=declaration.deterministic,
        )
        numbers = caller_signature(entry, exports[entry])
        return _Target(record, template, numbers, lambda: self.blobs.read(blob_id), is_array_export(entry))

    @staticmethod
    def _seal(target: _Target, request: CallRequest, *, numbers_follow: bool = False) -> Invocation:
        """Check what the request says itself, and seal it with its target."""
        template = target.template
        arguments, env, limits = request.arguments, request.env, request.limits
        if request.more_inputs:
            check_inputs(request.more_inputs, first=1)
        if template.mode is Mode.POSIX:
            if not (arguments or env or limits or request.program or request.mounts):
                return target.template_for(request.caller)
            numbers: tuple[Number, ...] = ()
            check_text_size(check_env(env) + check_arguments((request.program, *arguments)))
        else:
            check_text_size(check_env(env))
            # What the headers say was checked when the target was looked up.
            if target.takes_array and not numbers_follow and "moc-dtype" not in request.input_headers:
                raise ArrayRequiredError(template.function, entry_name(template.entry))
            if arguments or target.takes_array or not numbers_follow:
                numbers = parse_numbers(template.function, entry_name(template.entry), target.signature, arguments)
            else:
                numbers = ()
            arguments = ()
        check_mounts(template.function, template.mode, request.mounts, deterministic=template.deterministic)
        return Invocation(
            function=template.function,
            blob_id=template.blob_id,
            mode=template.mode,
            entry=template.entry,
            numbers=numbers,
            arguments=tuple(arguments),
            env=dict(env),
            grants=template.grants,
            limits=template.limits.narrowed(check_limits(limits)) if limits else template.limits,
            reusable=template.reusable,
            deterministic=template.deterministic,
            caller=request.caller,
            mounts=request.mounts,
            program=request.program,
        )

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

    def __init__(self, orchestrator: Orchestrator, invocation: Invocation, target: _Target) -> None:
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
