"""Any array that guests know passes through one unchanged; any bytes as a result are an array or a refusal."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from array_guests import STRUCT_BYTES, array_function, headers_of
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.array_layout import DTYPE_CODES, read_result
from moc_server_ext.errors import ArrayResultError
from moc_server_ext.model import CallRequest, Declaration

MOST_BYTES = 1 << 16
EDGES = st.sampled_from([0, 1, 2, 3, 31, 32, 33, 1 << 16, 1 << 31, (1 << 32) - 1, *DTYPE_CODES.values()])


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root: Path = tmp_path_factory.mktemp("arrays")
    with Cluster.open(root / "storage", cache_directory=root / "modules") as cluster:
        cluster.functions.put("same", array_function(), Declaration(reusable=True))
        yield cluster


@st.composite
def arrays(draw: st.DrawFn) -> numpy.ndarray[Any, Any]:
    dtype = numpy.dtype(draw(st.sampled_from(sorted(DTYPE_CODES))))
    shape: list[int] = []
    for _ in range(draw(st.integers(0, 32))):
        # As if no axis were empty: NumPy has a bound for that as well.
        room = MOST_BYTES // dtype.itemsize // math.prod(max(1, each) for each in shape)
        shape.append(draw(st.integers(0, min(room, 40))))
    size = math.prod(shape) * dtype.itemsize
    content = draw(st.binary(min_size=size, max_size=size) if size < 64 else st.just(bytes(range(256)) * 300))
    return numpy.frombuffer(content[:size], dtype.newbyteorder("<")).reshape(shape)


@given(arrays(), st.booleans())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_array_passes_through_a_guest_bit_by_bit(moc, array, warm):
    asked = CallRequest("same", input=array.tobytes(), input_headers=headers_of(array))
    if warm:
        with moc.prepare(asked) as prepared:
            result = prepared.run(array.tobytes(), input_headers=headers_of(array))
    else:
        result = moc.call_sync(asked)
    found = result.to_numpy()
    assert (found.shape, found.dtype, found.tobytes()) == (array.shape, array.dtype, array.tobytes())


@given(st.lists(EDGES | st.integers(0, (1 << 32) - 1), max_size=35), st.integers(1, 1 << 16))
@settings(deadline=None, max_examples=300)
def test_whatever_a_guest_leaves_is_an_array_within_its_memory_or_refused(fields, pages):
    content = struct.pack("<35I", *fields, *(0,) * (35 - len(fields)))
    assert len(content) == STRUCT_BYTES
    memory = pages << 16
    try:
        result = read_result("f", "f", content, memory)
    except ArrayResultError:
        return
    assert result.array.ndim <= 32
    assert result.array.nbytes == 0 or result.pointer + result.array.nbytes <= memory
