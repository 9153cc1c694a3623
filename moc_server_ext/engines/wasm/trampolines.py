"""From WebAssembly into host functions and back: what turns a ``GuestModule`` into definitions of a linker.

Every trampoline catches ``BaseException``: an exception that escaped from a ctypes callback would only be printed, and
the guest would go on with a made-up result. The cause is kept on the guest, which is this thread's own, so no thread
can ever see another's. A trampoline runs on the guest's stack and must stay shallow, and it never enters WebAssembly.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import wasmtime

from ...guest_api.errno import GuestErrno
from ...guest_api.registry import GuestModule, HostFunction
from ...model import Signature
from . import capi
from .values import PackedNumbers, raw_slots, reader

if TYPE_CHECKING:
    from .guest import Guest

_VAL_I32: Final = 0


class Current(threading.local):
    """The guest whose code runs on this thread right now.

    Attributes
    ----------
    guest
        Set by whoever enters a guest, for as long as it is inside.
    """

    guest: Guest | None = None


def inside(current: Current) -> Guest:
    """Give the guest that calls back."""
    # Whoever enters a guest sets it first; a callback without one cannot happen.
    return current.guest  # type: ignore[return-value]


class Continuations:
    """What a guest's fibre asks whether it can go on; one pair for all functions of a machine.

    Attributes
    ----------
    ready, at_once
        Addresses: of the one for a guest that waits, and of the one for a guest that has its number.
    """

    def __init__(self, current: Current) -> None:
        self._callbacks = (
            capi.ContinuationCallback(lambda _env: inside(current).resume()),
            capi.ContinuationCallback(lambda _env: True),
        )
        self.ready, self.at_once = map(capi.callback_address, self._callbacks)


def define(
    linker: wasmtime.Linker,
    modules: Iterable[GuestModule],
    current: Current,
    continuations: Continuations,
    *,
    live: bool,
) -> list[Any]:
    """Define all functions of `modules`, under all their names.

    Parameters
    ----------
    live
        Whether those that wait only for live streams can wait.

    Returns
    -------
    list
        The callbacks, which must live as long as anything that was linked.
    """
    kept: list[Any] = []
    for module in modules:
        sign = -1 if module.negative_errors else 1
        for function in module.functions.values():
            waits = function.waits is True or (bool(function.waits) and live)
            callback = _waiting(function, sign, current, continuations) if waits else _still(function, sign, current)
            kept.append(callback)
            for namespace in (module.name, *module.aliases):
                _define(linker, namespace, function.name, function.signature, callback)
    return kept


def define_bound(
    linker: wasmtime.Linker,
    functions: Mapping[tuple[str, str], HostFunction],
    current: Current,
    continuations: Continuations,
) -> list[Any]:
    """Define functions that one module's imports are bound to, by module and name; gives what :func:`define` does."""
    kept: list[Any] = []
    packed: dict[tuple[str, ...], PackedNumbers] = {}
    for (namespace, name), function in functions.items():
        types = function.signature
        arguments, results = (packed.setdefault(each, PackedNumbers(each)) for each in (types.params, types.results))
        callback = _suspending(function, 1, current, continuations, arguments.read, results.write)
        kept.append(callback)
        _define(linker, namespace, name, types, callback)
    return kept


def _define(linker: wasmtime.Linker, namespace: str, name: str, signature: Signature, callback: Any) -> None:
    definer = capi.linker_define_async if isinstance(callback, capi.AsyncCallback) else capi.linker_define_unchecked
    type_ = _func_type(signature)
    first, second = namespace.encode(), name.encode()
    error = definer(
        capi.address(linker.ptr()), first, len(first), second, len(second), capi.address(type_.ptr()),
        capi.callback_address(callback), None, None,
    )  # fmt: skip
    if error:
        raise RuntimeError(f"{namespace}.{name} is defined twice")


def _func_type(signature: Signature) -> wasmtime.FuncType:
    def types(names: tuple[str, ...]) -> list[wasmtime.ValType]:
        return [getattr(wasmtime.ValType, each)() for each in names]

    return wasmtime.FuncType(types(signature.params), types(signature.results))


def _still(function: HostFunction, sign: int, current: Current) -> Any:
    body, name = function.body, function.name
    results = function.signature.results
    at, arguments = raw_slots(function.signature.params, results[0] if results else None)
    gives = bool(results)

    def trampoline(_env: int, caller: int, raw: int, _count: int) -> int:
        guest: Guest = current.guest  # type: ignore[assignment]
        try:
            if not guest.bound:
                guest.bind(caller)
            slots = at(raw)
            try:
                result = body(guest.context, *arguments(slots))
            except GuestErrno as refusal:
                if not gives:
                    raise
                result = sign * refusal.number
            if gives:
                slots.result = result
            return 0
        except BaseException as error:
            return guest.fail(error, name)

    return capi.UncheckedCallback(trampoline)


def _waiting(function: HostFunction, sign: int, current: Current, continuations: Continuations) -> Any:
    read = reader(function.signature.params)
    return _suspending(function, sign, current, continuations, read, write_i32)


def _suspending(
    function: HostFunction,
    sign: int,
    current: Current,
    continuations: Continuations,
    read: Callable[[int], tuple[Any, ...]],
    write: Callable[[int, Any], None],
) -> Any:
    body, name = function.body, function.name
    ready, at_once = continuations.ready, continuations.at_once

    def trampoline(
        _env: int, caller: int, args: int, _nargs: int, results: int, _nresults: int, trap_ret: int, continuation: int
    ) -> None:
        guest = inside(current)
        after = capi.Continuation.from_address(continuation)
        # The library asks the continuation in any case, also after a trap.
        after.callback = at_once
        try:
            if not guest.bound:
                guest.bind(caller)
            try:
                waiting = body(guest.context, *read(args))
            except GuestErrno as refusal:
                write(results, sign * refusal.number)
                return
            if isinstance(waiting, int):
                write(results, waiting)
                return
            guest.wait(waiting, name, sign, write, results, trap_ret)
            after.callback = ready
        except BaseException as error:
            capi.store_pointer(trap_ret, guest.fail(error, name))

    return capi.AsyncCallback(trampoline)


class _I32(ctypes.Structure):
    """A ``wasmtime_val_t`` that holds an ``i32``."""

    _fields_ = (("kind", ctypes.c_uint8), ("gap", ctypes.c_char * (capi.VAL_OFFSET - 1)), ("number", ctypes.c_int32))


def write_i32(at: int, number: int) -> None:
    """Write a result of type ``i32`` as ``wasmtime_val_t``."""
    value = _I32.from_address(at)
    value.kind = _VAL_I32
    value.number = number
