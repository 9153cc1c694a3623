"""Modules with bytes changed, cut and doubled: each is refused with what is wrong, or runs and ends as guests do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import bounded
from hostile_modules import custom_section, names, recursive
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import GuestError, InvalidInputError, NotFoundError
from moc_server_ext.model import CallRequest, Limits

pytestmark = pytest.mark.fuzz

SEEDS = [
    wat_to_wasm("""(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1 2) (table 4 funcref) (global (mut i64) (i64.const 7)) (elem (i32.const 0) 0 1)
      (data (i32.const 8) "\\10\\00\\00\\00\\04\\00\\00\\00hostile") (tag (param i32))
      (func (export "_start") (local i32) (loop (drop (call 0 (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
        (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 0) (i32.const 3))))))"""),
    wat_to_wasm("""(module (memory (export "memory") 1) (func (export "add") (param i64 f32) (result i64 f32)
      (block (result i64 f32) (local.get 0) (local.get 1) (br 0))) (func $s) (start $s))"""),
    recursive(custom=names(b"_start") + custom_section(b"producers", b"\0")),
]
Change = tuple[str, int, bytes]


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("modules")
    limits = Limits(memory_bytes=4 << 20, timeout_seconds=0.2, output_bytes=1 << 16, stderr_bytes=1 << 16)
    with Cluster.open(root / "storage", limits=limits, cache_directory=root / "modules") as cluster:
        cluster.functions.put("innocent", wat_to_wasm('(module (func (export "_start")))'))
        yield cluster


changes = st.tuples(st.sampled_from(["set", "insert", "cut", "double"]), st.integers(0, 1 << 16), st.binary(max_size=8))


@bounded(60)
@given(seed=st.sampled_from(SEEDS), changes=st.lists(changes, min_size=1, max_size=6))
def test_changed_modules_are_refused_or_end_as_guests_do(moc: Cluster, seed: bytes, changes: Sequence[Change]) -> None:
    content = bytearray(seed)
    for how, where, what in changes:
        # The header stays: all without it is refused by its first bytes.
        at = 8 + where % max(1, len(content) - 8)
        if how == "set":
            content[at : at + len(what)] = what
        elif how == "insert":
            content[at:at] = what
        elif how == "cut":
            del content[at : at + len(what)]
        else:
            content[at:at] = content[at : at + 16 * len(what)]
    try:
        record = moc.functions.put("changed", bytes(content))
        for entry in record.exports:
            moc.call_sync(CallRequest("changed", entry=entry))
    except (InvalidInputError, GuestError, NotFoundError):
        pass
    assert moc.call_sync(CallRequest("innocent")).exit_code == 0
