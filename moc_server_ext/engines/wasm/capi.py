"""The part of wasmtime's C API that guests run on, as ctypes prototypes of our own.

The wheel's own wrappers keep a host function's exception in one variable of the process and have no asynchronous calls,
so the engine speaks to the same library directly. Two ways to call it:

- `_quick` functions keep the interpreter's lock: they take less time than handing it over, never block and never call
  back;
- `_long` functions release it: whatever may run guest code, compile, or return memory to the system.

Pointers are plain integers here. Whoever passes the address of a structure keeps the structure alive for as long as the
library may look at it: until the future is deleted, for all that a future was given.

References
----------
``wasmtime.h``, ``wasmtime/async.h``, ``wasmtime/func.h`` of the wasmtime C API.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, c_bool, c_char_p, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Any, Final

import wasmtime
from wasmtime import _bindings, _ffi

_QUICK: Final = ctypes.PyDLL(str(_ffi.filename))
_LONG: Final = ctypes.CDLL(str(_ffi.filename))

UncheckedCallback: Final = CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_size_t)
"""``(env, caller, args_and_results, count) -> trap``: a host function that never waits."""

AsyncCallback: Final = CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p)
"""``(env, caller, args, nargs, results, nresults, trap_ret, continuation)``: a host function that waits."""

ContinuationCallback: Final = CFUNCTYPE(c_bool, c_void_p)
"""``(env) -> done``."""

EpochCallback: Final = CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_void_p)
"""``(context, data, delta, kind) -> error``: called inside the guest when its epoch deadline is reached."""

EPOCH_CONTINUE: Final = 0
EPOCH_YIELD: Final = 1

EXTERN_FUNC: Final = 0
EXTERN_MEMORY: Final = 3

Extern: Final = _bindings.wasmtime_extern_t
Instance: Final = _bindings.wasmtime_instance_t

VAL_BYTES: Final = ctypes.sizeof(_bindings.wasmtime_val_t)
VAL_OFFSET: Final = _bindings.wasmtime_val_t.of.offset
RAW_BYTES: Final = ctypes.sizeof(_bindings.wasmtime_val_raw_t)
EXTERN_OFFSET: Final = Extern.of.offset


class Continuation(ctypes.Structure):
    """``wasmtime_async_continuation_t`` with plain pointers."""

    _fields_ = (("callback", c_void_p), ("env", c_void_p), ("finalizer", c_void_p))


def _quick(name: str, result: Any, *arguments: Any) -> Any:
    return _prototype(_QUICK, name, result, arguments)


def _long(name: str, result: Any, *arguments: Any) -> Any:
    return _prototype(_LONG, name, result, arguments)


def _prototype(library: Any, name: str, result: Any, arguments: tuple[Any, ...]) -> Any:
    # Indexing gives a function object of our own; as an attribute it would be shared with whoever else loads the file.
    function = library[f"wasmtime_{name}"]
    function.restype = result
    function.argtypes = arguments
    return function


store_new: Final = _quick("store_new", c_void_p, c_void_p, c_void_p, c_void_p)
store_context: Final = _quick("store_context", c_void_p, c_void_p)
store_limiter: Final = _quick("store_limiter", None, c_void_p, c_int64, c_int64, c_int64, c_int64, c_int64)
store_delete: Final = _long("store_delete", None, c_void_p)
store_epoch_callback: Final = _quick("store_epoch_deadline_callback", None, c_void_p, c_void_p, c_void_p, c_void_p)
set_epoch_deadline: Final = _quick("context_set_epoch_deadline", None, c_void_p, c_uint64)

instantiate: Final = _long("instance_pre_instantiate", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
instantiate_async: Final = _quick(
    "instance_pre_instantiate_async", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p
)
export_get: Final = _quick("instance_export_get", c_bool, c_void_p, c_void_p, c_char_p, c_size_t, c_void_p)
caller_export_get: Final = _quick("caller_export_get", c_bool, c_void_p, c_char_p, c_size_t, c_void_p)
memory_data: Final = _quick("memory_data", c_void_p, c_void_p, c_void_p)
memory_data_size: Final = _quick("memory_data_size", c_size_t, c_void_p, c_void_p)
memory_grow: Final = _long("memory_grow", c_void_p, c_void_p, c_void_p, c_uint64, c_void_p)

func_call_async: Final = _quick(
    "func_call_async", c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p
)
func_call_unchecked: Final = _long("func_call_unchecked", c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p)
future_poll: Final = _long("call_future_poll", c_bool, c_void_p)
future_delete: Final = _long("call_future_delete", None, c_void_p)

linker_define_unchecked: Final = _quick(
    "linker_define_func_unchecked",
    c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p,
)  # fmt: skip
linker_define_async: Final = _quick(
    "linker_define_async_func",
    c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p,
)  # fmt: skip

module_new: Final = _long("module_new", c_void_p, c_void_p, c_char_p, c_size_t, c_void_p)
module_deserialize: Final = _long("module_deserialize", c_void_p, c_void_p, c_char_p, c_size_t, c_void_p)
module_deserialize_file: Final = _long("module_deserialize_file", c_void_p, c_void_p, c_char_p, c_void_p)

_trap_new: Final = _quick("trap_new", c_void_p, c_char_p, c_size_t)
_error_new: Final = _quick("error_new", c_void_p, c_char_p)


def trap_new(message: bytes) -> int:
    """Make a trap for a callback to return, which then owns it."""
    return int(_trap_new(message, len(message)))


def error_new(message: bytes) -> int:
    """Make an error for a callback to return, which then owns it."""
    return int(_error_new(message))


def address(pointer: Any) -> int:
    """Give the address that a pointer of the wheel's own bindings holds."""
    return ctypes.cast(pointer, c_void_p).value or 0


def callback_address(callback: Any) -> int:
    """Give the address of a ctypes callback, which the caller keeps alive."""
    return ctypes.cast(callback, c_void_p).value or 0


def clone_linker(linker: wasmtime.Linker) -> wasmtime.Linker:
    """Make a linker with the same definitions, to which others can be added."""
    clone = wasmtime.Linker.__new__(wasmtime.Linker)
    clone.engine = linker.engine
    clone._set_ptr(_bindings.wasmtime_linker_clone(linker.ptr()))
    return clone


def pool_setter(name: str) -> Any:
    """Give the setter of one field of a pooling configuration."""
    return getattr(_bindings, f"wasmtime_pooling_allocation_config_{name}_set")


def store_u8(at: int, value: int) -> None:
    """Write one byte at an address that the library gave to a callback."""
    c_uint8.from_address(at).value = value


def store_u64(at: int, value: int) -> None:
    """Write eight bytes at an address that the library gave to a callback."""
    c_uint64.from_address(at).value = value


def store_pointer(at: int, pointer: int) -> None:
    """Write a pointer at an address that the library gave to a callback."""
    c_void_p.from_address(at).value = pointer


def take_error(pointer: int) -> wasmtime.WasmtimeError:
    """Own an error that the library returned."""
    return wasmtime.WasmtimeError._from_ptr(ctypes.cast(pointer, ctypes.POINTER(_bindings.wasmtime_error_t)))


def take_trap(pointer: int) -> wasmtime.Trap:
    """Own a trap that the library returned."""
    return wasmtime.Trap._from_ptr(ctypes.cast(pointer, ctypes.POINTER(_bindings.wasm_trap_t)))


def frame_names(found: wasmtime.Trap | wasmtime.WasmtimeError) -> list[str | None]:
    """Give the names of the guest's functions in a backtrace, innermost first, as the module has them."""
    frames = _bindings.wasm_frame_vec_t(0, None)
    trace = _bindings.wasm_trap_trace if isinstance(found, wasmtime.Trap) else _bindings.wasmtime_error_wasm_trace
    trace(found.ptr(), ctypes.byref(frames))
    try:
        return [_frame_name(frames.data[index]) for index in range(frames.size)]
    finally:
        _bindings.wasm_frame_vec_delete(ctypes.byref(frames))


def _frame_name(frame: Any) -> str | None:
    name = _bindings.wasmtime_frame_func_name(frame)
    if not name or not name.contents.size:
        return None
    return bytes(_ffi.to_bytes(name.contents)).decode(errors="replace")
