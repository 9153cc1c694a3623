"""Array functions that tests share, in WAT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.model import array_headers, parse_array

STRUCT_BYTES = 140
SAME = f"(memory.copy (local.get $result) (local.get $array) (i32.const {STRUCT_BYTES}))"
"""The input is the result."""


def array_function(
    body: str = SAME, *, name: str = "same", numbers: Sequence[str] = (), status: str = "(i32.const 0)", more: str = ""
) -> bytes:
    """Make a module with one array function around `body`."""
    params = "".join(f"(param ${kind} {kind})" for kind in numbers)
    return wat_to_wasm(f"""(module {more} (memory (export "memory") 1)
      (func (export "chunk/1:{name}") (param $array i32) {params} (param $result i32) (result i32)
        {body} {status}))""")


def result_of(pointer: int, dtype: int, *shape: int, ndim: int | None = None) -> str:
    """Write a result: what stands in it are plain numbers, right or wrong."""
    fields = (pointer, dtype, len(shape) if ndim is None else ndim, *shape)
    return "".join(
        f"(i32.store offset={4 * index} (local.get $result) (i32.const {field}))" for index, field in enumerate(fields)
    )


def headers_of(array: numpy.ndarray[Any, Any]) -> dict[str, str]:
    """Give the headers that say what an array is."""
    return array_headers(parse_array(array.dtype.name, array.shape))
