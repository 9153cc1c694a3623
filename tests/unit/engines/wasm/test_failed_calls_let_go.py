"""A call that a host function ends leaves nothing behind that only the garbage collector would find."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import wasmtime

from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.engines.wasm import WasmEngine
from moc_server_ext.errors import LimitExceededError
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.registry import GuestModule
from moc_server_ext.model import Invocation, Mode

_MODULE = """(module (import "fails" "fail" (func $fail (result i32)))
  (func (export "run") (result i32) (call $fail)))"""


class _Held(ExchangeBuffer):
    __slots__ = ("__weakref__",)


def test_a_call_that_reached_a_limit_is_gone_with_its_error(tmp_path: Path) -> None:
    fails = GuestModule("fails")

    @fails.function("fail")
    def fail(call: CallContext) -> int:
        raise call.limit_exceeded("output_bytes", 1)

    engine = WasmEngine([fails], cache_directory=tmp_path / "modules")
    module = bytes(wasmtime.wat2wasm(_MODULE))
    output = _Held(limit_bytes=1)
    held = weakref.ref(output)
    gc.disable()
    try:
        context = CallContext(Invocation("f", "0" * 64, Mode.DIRECT, "run"), ExchangeBuffer(b""), output)
        with pytest.raises(LimitExceededError):
            engine.run(context, lambda: module)
        del context, output
        assert held() is None
    finally:
        gc.enable()
        engine.close()
