"""From WebAssembly into host functions and back: what turns a ``GuestModule`` into definitions of a linker.

Every trampoline catches ``BaseException``: an exception that escaped from a ctypes callback would only be printed, and
the guest would go on with a made-up result. The cause is kept on the guest, which is this thread's own, so no thread
can ever see another's. A trampoline runs on the guest's stack and must stay shallow, and it never enters WebAssembly.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import wasmtime

from ...guest_api.errno import GuestErrno
from ...guest_api.registry import GuestModule, HostFunction
from ...model import Signature
from . import capi
from .values import reader, writer

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


def define(linker: wasmtime.Linker, modules: Iterable[GuestModule], current: Current, *, live: bool) -> list[Any]:
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
    at_once = capi.ContinuationCallback(lambda _env: True)
    ready = capi.ContinuationCallback(lambda _env: inside(current).resume())
    kept: list[Any] = [at_once, ready]
    for module in modules:
        sign = -1 if module.negative_errors else 1
        for function in module.functions.values():
            if function.waits is True or (function.waits and live):
                callback = _waiting(
                    function, sign, current, capi.callback_address(ready), capi.callback_address(at_once)
                )
                definer = capi.linker_define_async
            else:
                callback = _still(function, sign, current)
                definer = capi.linker_define_unchecked
            kept.append(callback)
            type_ = _func_type(function.signature)
            for namespace in (module.name, *module.aliases):
                first, second = namespace.encode(), function.name.encode()
                error = definer(
                    capi.address(linker.ptr()), first, len(first), second, len(second), capi.address(type_.ptr()),
                    capi.callback_address(callback), None, None,
                )  # fmt: skip
                if error:
                    raise RuntimeError(f"{namespace}.{function.name} is defined twice")
    return kept


def _func_type(signature: Signature) -> wasmtime.FuncType:
    def types(names: tuple[str, ...]) -> list[wasmtime.ValType]:
        return [getattr(wasmtime.ValType, each)() for each in names]

    return wasmtime.FuncType(types(signature.params), types(signature.results))


def _still(function: HostFunction, sign: int, current: Current) -> Any:
    body, name = function.body, function.name
    read = reader(function.signature.params, raw=True)
    write = writer(function.signature.results[0]) if function.signature.results else None

    def trampoline(_env: int, caller: int, raw: int, _count: int) -> int:
        guest: Guest = current.guest  # type: ignore[assignment]
        try:
            if not guest.bound:
                guest.bind(caller)
            try:
                result = body(guest.context, *read(raw))
            except GuestErrno as refusal:
                if write is None:
                    raise
                result = sign * refusal.number
            if write is not None:
                write(raw, result)
            return 0
        except BaseException as error:
            return guest.fail(error, name)

    return capi.UncheckedCallback(trampoline)


def _waiting(function: HostFunction, sign: int, current: Current, ready: int, at_once: int) -> Any:
    body, name = function.body, function.name
    read = reader(function.signature.params, raw=False)

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
                write_i32(results, sign * refusal.number)
                return
            if isinstance(waiting, int):
                write_i32(results, waiting)
                return
            guest.wait(waiting, name, sign, results, trap_ret)
            after.callback = ready
        except BaseException as error:
            capi.store_pointer(trap_ret, guest.fail(error, name))

    return capi.AsyncCallback(trampoline)


_write_i32: Final = writer("i32")


def write_i32(at: int, number: int) -> None:
    """Write a result of type ``i32`` as ``wasmtime_val_t``."""
    capi.store_u8(at, _VAL_I32)
    _write_i32(at + capi.VAL_OFFSET, number)
