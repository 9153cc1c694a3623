"""What the orchestrator hands to an engine, and how it ends calls; a scripted engine runs, on a real storage."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.admission import Admission
from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.calls import CallTable
from moc_server_ext.egress.network import Network
from moc_server_ext.errors import (
    BlobNotFoundError,
    CancelledError,
    EntryPointNotFoundError,
    FunctionNotFoundError,
    InvalidArgumentsError,
    InvalidInputError,
    LimitExceededError,
    OverloadedError,
    TrapError,
    UnavailableError,
)
from moc_server_ext.functions import FunctionTable
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.model import (
    CallRequest,
    CallResult,
    Declaration,
    Grants,
    Invocation,
    Limits,
    Mode,
    ModuleInterface,
    Number,
    Signature,
)
from moc_server_ext.observers import Observers
from moc_server_ext.orchestrator import Orchestrator
from moc_server_ext.scope import CallScope
from moc_server_ext.storage import Storage

POSIX = b"posix"
DIRECT = b"direct"
EXPORTS = {
    POSIX: {"_start": Signature(), "other": Signature(), "add": Signature(("i32", "i32"), ("i32",))},
    DIRECT: {"add": Signature(("i32", "f64"), ("f64",)), "_initialize": Signature()},
}


class ScriptedEngine:
    """Keeps what it was given, and does what a test tells it."""

    def __init__(self) -> None:
        self.seen: list[CallContext] = []
        self.inspected = 0
        self.warmed = 0
        self.cooled = 0
        self.loaded = b""
        self.script: Callable[[CallContext], Any] = lambda context: None

    def inspect(self, name: str, content: bytes) -> ModuleInterface:
        self.inspected += 1
        return ModuleInterface((), EXPORTS[content], exports_memory=True)

    def run(self, context: CallContext, load: Callable[[], bytes]) -> CallResult:
        self.seen.append(context)
        self.loaded = load()
        return CallResult("id", self.script(context), 0, context.input.getvalue().upper())

    async def drive(self, context: CallContext, load: Callable[[], bytes]) -> CallResult:
        # On a thread, so that a script may block.
        try:
            return await asyncio.to_thread(self.run, context, load)
        except asyncio.CancelledError:
            context.cancel()
            raise

    def warm(self, invocation: Invocation, load: Callable[[], bytes], services: Any) -> Any:
        self.warmed += 1
        return WarmScript(self, invocation)


class WarmScript:
    """A warm instance that adds its numbers."""

    is_worn = False

    def __init__(self, engine: ScriptedEngine, invocation: Invocation) -> None:
        self._engine = engine
        self._invocation = invocation

    def call(self, *numbers: Number) -> Number:
        if len(numbers) != 2:
            raise InvalidArgumentsError("direct", "add", expected=("i32", "f64"), found=())
        self._engine.script(CallContext(self._invocation, ExchangeBuffer(b"")))
        return sum(numbers)

    def close(self) -> None:
        self._engine.cooled += 1


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "storage") as storage:
        yield storage


@pytest.fixture
def moc(engine: ScriptedEngine, storage: Storage) -> Orchestrator:
    moc = Orchestrator(
        functions=FunctionTable(storage.names, engine.inspect),
        blobs=storage.blobs,
        buffers=storage.buffers,
        kv=storage.kv,
        zarr=storage.zarr,
        engine=engine,
        limits=Limits(),
        admission=Admission(places=2, queued=0, memory_bytes=1 << 40),
        network=Network(),
        calls=CallTable(Observers()),
    )
    moc.functions.put("posix", POSIX)
    moc.functions.put("direct", DIRECT, Declaration(reusable=True))
    return moc


def sealed(moc: Orchestrator, engine: ScriptedEngine, request: CallRequest) -> Invocation:
    moc.call_sync(request)
    return engine.seen[-1].invocation


# -- resolving --------------------------------------------------------------------------------------------------------


def test_a_call_gives_its_input_to_the_engine_and_its_output_back(moc: Orchestrator, engine: ScriptedEngine) -> None:
    assert moc.call_sync(CallRequest("posix", input=b"abc")).output == b"ABC"
    assert engine.loaded == POSIX


def test_a_posix_call_is_sealed_with_arguments_and_environment(moc: Orchestrator, engine: ScriptedEngine) -> None:
    invocation = sealed(moc, engine, CallRequest("posix", ("a", "-b"), env={"K": "V"}, caller="someone"))
    assert (invocation.mode, invocation.entry) == (Mode.POSIX, "_start")
    assert (invocation.arguments, invocation.env, invocation.caller) == (("a", "-b"), {"K": "V"}, "someone")
    assert invocation.numbers == ()


def test_a_direct_call_is_sealed_with_its_numbers(moc: Orchestrator, engine: ScriptedEngine) -> None:
    invocation = sealed(moc, engine, CallRequest("direct", ("0xffffffff", "2")))
    assert (invocation.mode, invocation.entry, invocation.numbers) == (Mode.DIRECT, "add", (-1, 2.0))
    assert invocation.arguments == ()


def test_a_direct_call_with_the_wrong_arguments_never_runs(moc: Orchestrator, engine: ScriptedEngine) -> None:
    with pytest.raises(InvalidArgumentsError):
        moc.call_sync(CallRequest("direct"))
    assert engine.seen == []


def test_an_entry_point_that_takes_numbers_cannot_start_in_posix_mode(moc: Orchestrator) -> None:
    with pytest.raises(InvalidInputError, match="--mode direct"):
        moc.call_sync(CallRequest("posix", entry="add"))


def test_mode_and_entry_of_the_request_win(moc: Orchestrator, engine: ScriptedEngine) -> None:
    invocation = sealed(moc, engine, CallRequest("posix", ("1", "2"), mode=Mode.DIRECT, entry="add"))
    assert (invocation.mode, invocation.entry, invocation.numbers) == (Mode.DIRECT, "add", (1, 2))


def test_what_was_declared_is_sealed_in(moc: Orchestrator, engine: ScriptedEngine) -> None:
    declaration = Declaration(
        entry="other",
        grants=Grants(frozenset({"kv:a"})),
        limits={"timeout_seconds": 2, "output_bytes": 10},
        deterministic=True,
    )
    moc.functions.put("declared", POSIX, declaration)
    invocation = sealed(moc, engine, CallRequest("declared", limits={"timeout_seconds": 5, "output_bytes": 4}))
    assert (invocation.entry, invocation.deterministic) == ("other", True)
    assert invocation.grants == Grants(frozenset({"kv:a"}))
    assert (invocation.limits.timeout_seconds, invocation.limits.output_bytes) == (2, 4)


@pytest.mark.parametrize("limits", [{"nope": 1}, {"timeout_seconds": -1}])
def test_limits_that_are_none_are_refused(moc: Orchestrator, limits: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError):
        moc.call_sync(CallRequest("posix", limits=limits))


def test_an_unknown_function_names_the_nearest(moc: Orchestrator) -> None:
    with pytest.raises(FunctionNotFoundError, match="Did you mean 'posix'"):
        moc.call_sync(CallRequest("posx"))


def test_an_unknown_entry_point_lists_the_exports(moc: Orchestrator) -> None:
    with pytest.raises(EntryPointNotFoundError, match="'_start', 'other' and 'add'"):
        moc.call_sync(CallRequest("posix", entry="nope"))


def test_a_function_that_was_replaced_is_called_as_it_is_now(moc: Orchestrator, engine: ScriptedEngine) -> None:
    moc.call_sync(CallRequest("posix"))
    moc.functions.put("posix", DIRECT)
    assert sealed(moc, engine, CallRequest("posix", ("1", "2"))).mode is Mode.DIRECT
    assert engine.loaded == DIRECT


def test_a_function_that_was_deleted_is_not_found(moc: Orchestrator) -> None:
    moc.call_sync(CallRequest("posix"))
    moc.functions.delete("posix")
    with pytest.raises(FunctionNotFoundError):
        moc.call_sync(CallRequest("posix"))


def test_resolving_again_does_not_inspect_again(moc: Orchestrator, engine: ScriptedEngine) -> None:
    before = engine.inspected
    blob_id = moc.functions.get("posix").blob_id
    for name in ("posix", blob_id, "posix", blob_id):
        moc.call_sync(CallRequest(name))
    assert engine.inspected == before + 1


def test_a_blob_is_called_by_its_id_without_grants(moc: Orchestrator, engine: ScriptedEngine) -> None:
    moc.functions.put("granted", POSIX, Declaration(grants=Grants(frozenset({"kv"}))))
    invocation = sealed(moc, engine, CallRequest(moc.functions.get("granted").blob_id))
    assert invocation.grants == Grants()
    assert engine.loaded == POSIX


def test_an_unknown_blob_id_is_not_found(moc: Orchestrator) -> None:
    with pytest.raises(BlobNotFoundError):
        moc.call_sync(CallRequest("0" * 64))


# -- nested calls -----------------------------------------------------------------------------------------------------


def parent_of(moc: Orchestrator, **limits: Any) -> CallContext:
    invocation = Invocation("parent", "", Mode.POSIX, "_start", limits=Limits(**limits), caller="someone")
    return CallContext(invocation, ExchangeBuffer(b""), services=moc)


def test_a_nested_call_stays_within_its_parents_limits(moc: Orchestrator) -> None:
    parent = parent_of(moc, timeout_seconds=1, output_bytes=7)
    child = moc.nested(parent, CallRequest("posix", ("a",), input=b"in"))
    assert child.parent is parent
    assert child.depth == 2
    assert child.deadline <= parent.deadline
    assert child.invocation.limits.output_bytes == 7
    assert child.invocation.caller == "someone"
    assert child.input.getvalue() == b"in"


def test_a_nested_call_gets_what_the_tree_has_left(moc: Orchestrator) -> None:
    parent = parent_of(moc, output_bytes=100, scratch_bytes=50)
    parent.output.write(b"x" * 60)
    parent.add_buffer(ExchangeBuffer(b"y" * 20))
    child = moc.nested(parent, CallRequest("posix"))
    assert (child.invocation.limits.output_bytes, child.invocation.limits.scratch_bytes) == (40, 30)
    child.output.write(b"x" * 40)
    assert moc.nested(child, CallRequest("posix")).invocation.limits.output_bytes == 0


def test_a_nested_direct_call_converts_its_numbers(moc: Orchestrator) -> None:
    child = moc.nested(parent_of(moc), CallRequest("direct"), (3, -4))
    assert child.invocation.numbers == (3, -4.0)
    assert isinstance(child.invocation.numbers[1], float)


def test_a_nested_call_takes_the_arguments_of_its_mode(moc: Orchestrator) -> None:
    posix = moc.nested(parent_of(moc), CallRequest("posix", ("a",)), (3, 4))
    direct = moc.nested(parent_of(moc), CallRequest("direct", ("a",)), (3, 4))
    assert (posix.invocation.arguments, posix.invocation.numbers) == (("a",), ())
    assert (direct.invocation.arguments, direct.invocation.numbers) == ((), (3, 4.0))


def test_a_nested_call_beyond_the_depth_is_refused(moc: Orchestrator) -> None:
    parent = parent_of(moc, call_depth=2)
    child = moc.nested(parent, CallRequest("posix"))
    with pytest.raises(LimitExceededError, match="call_depth = 2"):
        moc.nested(child, CallRequest("posix"))


def test_cancelling_a_call_cancels_those_it_made(moc: Orchestrator) -> None:
    parent = parent_of(moc)
    child = moc.nested(parent, CallRequest("posix"))
    parent.cancel()
    assert child.cancelled
    assert child.deadline == 0


# -- admission and the end --------------------------------------------------------------------------------------------


class Held:
    """A guest that runs until it is cancelled, as an engine ends it: with the deadline's error."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self.began = threading.Event()
        engine.script = self.script

    def script(self, context: CallContext) -> None:
        self.began.set()
        while context.deadline:
            threading.Event().wait(0.001)
        raise context.limit_exceeded("timeout_seconds")


def in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_more_calls_than_places_and_queue_are_refused(moc: Orchestrator, engine: ScriptedEngine) -> None:
    inner: list[BaseException] = []

    def nest(context: CallContext) -> None:
        if len(engine.seen) < 2:
            moc.call_sync(CallRequest("posix"))
        else:
            inner.append(in_thread_refused())

    def in_thread_refused() -> BaseException:
        thread, errors = in_thread(lambda: moc.call_sync(CallRequest("posix")))
        thread.join()
        return errors[0]

    engine.script = nest
    moc.call_sync(CallRequest("posix"))
    assert isinstance(inner[0], OverloadedError)


def test_closing_cancels_what_runs_and_refuses_what_comes(moc: Orchestrator, engine: ScriptedEngine) -> None:
    held = Held(engine)
    thread, errors = in_thread(lambda: moc.call_sync(CallRequest("posix")))
    assert held.began.wait(60)
    moc.close()
    thread.join()
    assert isinstance(errors[0], CancelledError)
    with pytest.raises(UnavailableError, match="closed"):
        moc.call_sync(CallRequest("posix"))
    with pytest.raises(UnavailableError, match="closed"):
        moc.prepare(CallRequest("posix")).run(b"")
    moc.close()


def test_cancelling_the_coroutine_cancels_the_guest(moc: Orchestrator, engine: ScriptedEngine) -> None:
    held = Held(engine)

    async def main() -> None:
        task = asyncio.create_task(moc.call(CallRequest("posix")))
        await asyncio.to_thread(held.began.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert engine.seen[0].cancelled
    assert moc.admission.wait_idle(30)


def test_the_coroutine_gives_the_result(moc: Orchestrator) -> None:
    assert asyncio.run(moc.call(CallRequest("posix", input=b"abc"))).output == b"ABC"


def test_a_deadline_that_was_reached_is_not_taken_for_a_cancellation(moc: Orchestrator, engine: ScriptedEngine) -> None:
    def late(context: CallContext) -> None:
        raise context.limit_exceeded("timeout_seconds")

    engine.script = late
    with pytest.raises(LimitExceededError, match="timeout_seconds"):
        moc.call_sync(CallRequest("posix"))


# -- prepared calls ---------------------------------------------------------------------------------------------------


def test_a_prepared_call_runs_what_it_was_resolved_to(moc: Orchestrator, engine: ScriptedEngine) -> None:
    prepared = moc.prepare(CallRequest("posix", ("a",)))
    moc.functions.delete("posix")
    assert prepared.run(b"abc").output == b"ABC"
    assert engine.seen[0].invocation is prepared.invocation


def test_a_prepared_call_ends_with_its_scope(moc: Orchestrator, engine: ScriptedEngine) -> None:
    held = Held(engine)
    prepared, scope = moc.prepare(CallRequest("posix")), CallScope()
    thread, errors = in_thread(lambda: prepared.run(b"", scope=scope))
    assert held.began.wait(60)
    scope.cancel()
    thread.join()
    assert isinstance(errors[0], CancelledError)
    with pytest.raises(CancelledError):
        prepared.run(b"", scope=scope)
    assert len(engine.seen) == 1


def test_a_reusable_function_is_called_in_one_warm_instance(moc: Orchestrator, engine: ScriptedEngine) -> None:
    with moc.prepare(CallRequest("direct")) as prepared:
        assert [prepared.call(n, 0.5) for n in range(3)] == [0.5, 1.5, 2.5]
    assert (engine.warmed, engine.cooled) == (1, 1)


def test_a_warm_instance_is_not_used_again_after_an_error(moc: Orchestrator, engine: ScriptedEngine) -> None:
    def trap(context: CallContext) -> None:
        raise TrapError("direct", "unreachable")

    with moc.prepare(CallRequest("direct")) as prepared:
        engine.script = trap
        with pytest.raises(TrapError):
            prepared.call(1, 2.0)
        engine.script = lambda context: None
        assert prepared.call(1, 2.0) == 3.0
    assert (engine.warmed, engine.cooled) == (2, 2)


def test_a_warm_instance_survives_wrong_arguments(moc: Orchestrator, engine: ScriptedEngine) -> None:
    with moc.prepare(CallRequest("direct")) as prepared:
        with pytest.raises(InvalidArgumentsError):
            prepared.call(1)
        assert prepared.call(1, 2.0) == 3.0
    assert engine.warmed == 1


def test_a_function_that_is_not_reusable_gets_a_fresh_instance_each_time(
    moc: Orchestrator, engine: ScriptedEngine
) -> None:
    engine.script = lambda context: sum(context.invocation.numbers)
    with moc.prepare(CallRequest("posix", mode=Mode.DIRECT, entry="add")) as prepared:
        assert prepared.call(1, 2) == 3
        assert prepared.call(3, 4) == 7
        with pytest.raises(InvalidArgumentsError):
            prepared.call(1)
    assert len(engine.seen) == 2


# -- the functions noun -----------------------------------------------------------------------------------------------


def test_a_function_survives_in_the_storage_with_its_declaration(moc: Orchestrator, storage: Storage) -> None:
    declaration = Declaration(
        Mode.DIRECT, "add", Grants(frozenset({"kv:a"}), frozenset({"example.org:443"})), {"memory_bytes": 65536}, True
    )
    put = moc.functions.put("f", DIRECT, declaration)
    again = FunctionTable(storage.names, ScriptedEngine().inspect).get("f")
    assert again == put
    assert (again.declaration, again.exports, again.size) == (declaration, EXPORTS[DIRECT], len(DIRECT))


def test_functions_are_listed_by_name(moc: Orchestrator) -> None:
    assert [each.name for each in moc.functions.list()] == ["direct", "posix"]


@pytest.mark.parametrize(
    ("name", "declaration", "content_type", "message"),
    [
        ("", Declaration(), "application/wasm", "function name"),
        ("0" * 64, Declaration(), "application/wasm", "blob id"),
        ("f", Declaration(), "text/html", "'text/html' cannot be executed.*application/wasm"),
        ("f", Declaration(limits={"nope": 1}), "application/wasm", "no limit"),
        ("f", Declaration(entry="add"), "application/wasm", "--mode direct"),
    ],
)
def test_a_function_that_cannot_be_is_not_stored(
    moc: Orchestrator, name: str, declaration: Declaration, content_type: str, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        moc.functions.put(name, POSIX, declaration, content_type)
    assert len(moc.functions.list()) == 2


def test_a_declared_entry_point_must_be_exported(moc: Orchestrator) -> None:
    with pytest.raises(EntryPointNotFoundError):
        moc.functions.put("f", POSIX, Declaration(entry="nope"))


def test_deleting_a_function_that_is_not_there_is_an_error(moc: Orchestrator) -> None:
    with pytest.raises(FunctionNotFoundError):
        moc.functions.delete("nope")
