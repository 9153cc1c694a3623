"""Guests that import the whole guest API ``core``, written in a test as a few calls."""

from __future__ import annotations

from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.guest_api.core import CORE

DATA = 1024
ROOM = 65536
MEMORY = 8 * 65536
OUTPUT = 2


class Program:
    """A direct function ``run`` in the making, with memory for the texts that it passes.

    Parameters
    ----------
    module
        The import module name under which it finds the guest API.
    """

    def __init__(self, module: str = "core") -> None:
        self._module = module
        self._data = bytearray()

    def put(self, content: str | bytes) -> int:
        """Place bytes in memory and give their address."""
        raw = content.encode() if isinstance(content, str) else content
        self._data += bytes(-len(self._data) % 8)
        at = DATA + len(self._data)
        self._data += raw
        return at

    def call(self, name: str, *values: str | bytes | int) -> str:
        """Write a call: numbers stand for themselves, text and bytes for their pointer and length."""
        numbers = self.numbers(*values)
        assert len(numbers) == len(CORE.functions[name].parameters), name
        return f"(call ${name} {' '.join(f'(i32.const {each})' for each in numbers)})"

    def numbers(self, *values: str | bytes | int) -> list[int]:
        """Give what a call passes for `values`."""
        numbers: list[int] = []
        for value in values:
            numbers += [value] if isinstance(value, int) else [self.put(value), len(_raw(value))]
        return numbers

    def pour(self, call: str) -> str:
        """Write the buffer that a call gives to the output; a refusal ends the program and is its result."""
        return f"""(local.set $id {call}) (if (i32.lt_s (local.get $id) (i32.const 0)) (then (return (local.get $id))))
          (local.set $size (call $read_exchange_buffer (local.get $id) (i32.const {ROOM}) (i32.const {MEMORY - ROOM})))
          (drop (call $write_exchange_buffer (i32.const {OUTPUT}) (i32.const {ROOM}) (local.get $size)))
          (drop (call $free_buffer (local.get $id)))"""

    def wasm(self, *body: str) -> bytes:
        """Make the module; the last line of `body` leaves the result, which is 0 when all of them pour."""
        imports = "\n".join(
            f'(import "{self._module}" "{name}" (func ${name} (param {" ".join(each.signature.params)}) (result i32)))'
            for name, each in CORE.functions.items()
        )
        data = "".join(f"\\{byte:02x}" for byte in self._data)
        last = "" if body[-1].startswith("(call") else "(i32.const 0)"
        return wat_to_wasm(f"""(module {imports} (memory (export "memory") 8) (data (i32.const {DATA}) "{data}")
          (func (export "run") (result i32) (local $id i32) (local $size i32) {" ".join(body)} {last}))""")


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
